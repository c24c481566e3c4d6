"""Quotas at the actors: hooks that other programs add and edit, and test deliveries."""

import select

import pytest

from callboard.actors.hooks.change_publisher import ChangePublisher
from callboard.actors.hooks.changes import HookChanges
from callboard.actors.hooks.editing import HookEditing
from callboard.actors.messages import AddHook, EditHook, HookSaved, Refused
from callboard.actors.operations.answering import Asker
from callboard.actors.operations.sample_delivery import (
    SAMPLES_AT_ONCE,
    SampleDeliveries,
    sample_delivery,
)
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.spool import Spool
from callboard.adapters.store.views import WEBHOOKS
from callboard.config.settings import DataSettings, DeliverySettings, Settings
from callboard.supervision import Timer
from callboard.webhooks.hooks.quotas import Quotas
from support.hooks import hooks_with
from support.patience import patient

ACCOUNT = "1b" * 16
FEW = Quotas(hooks=1, custom_data_members=1)
HOOK = {"name": "n", "uri": "https://hooks.example.com/", "hook": "all", "pvt_account_id": ACCOUNT}


class Replies(list):
    """Replies to one sender, sent at once."""

    def send(self, _to, message):
        self.append(message)

    reply = send


@pytest.fixture
def store(tmp_path):
    store = EmbeddedStore(tmp_path / "store.sqlite3", views=WEBHOOKS)
    store.ensure_database("webhooks")
    store.ensure_views("webhooks", WEBHOOKS)
    yield store
    store.close()


@pytest.fixture
def replies():
    return Replies()


@pytest.fixture
def editing(store, replies, tmp_path):
    hooks = HookStore(store, FEW)
    timer = lambda call: Timer(lambda _s, _call: None, call)  # noqa: E731
    publisher = ChangePublisher(None, "node", Spool(tmp_path / "changes.sqlite3"), timer)
    changes = HookChanges(hooks, publisher, "node", lambda *_: None)
    return HookEditing(
        hooks, changes, replies, replies.send, lambda _: None, lambda _: None, "node"
    )


def test_a_hook_beyond_a_quota_is_refused_with_the_setting(editing, replies):
    editing.add(AddHook(HOOK), "sender")
    editing.add(AddHook(HOOK), "sender")
    saved, refused = replies
    assert isinstance(saved, HookSaved)
    assert refused == Refused("the account has 1 hooks: quotas.hooks allows 1")


def test_an_edit_beyond_a_quota_is_refused_and_others_are_not(editing, replies, store):
    editing.add(AddHook(HOOK), "sender")
    id = replies.pop().document["_id"]
    editing.edit(EditHook(id, {"custom_data": {"a": "1", "b": "2"}}), "sender")
    reason = "custom_data has 2 members: quotas.custom_data_members allows 1"
    assert replies.pop() == Refused(reason)
    editing.edit(EditHook(id, {"custom_data": {"a": "1"}}), "sender")
    assert isinstance(replies.pop(), HookSaved)
    assert store.get("webhooks", id)["custom_data"] == {"a": "1"}


# Test deliveries


@pytest.fixture
def samples(tmp_path):
    delivery = DeliverySettings(allow_networks=["127.0.0.0/8"], request_timeout_ms=20_000)
    samples = SampleDeliveries(Settings(data=DataSettings(dir=tmp_path), delivery=delivery))
    yield samples
    samples.close()


def begin(samples, url, account, count):
    hook = hooks_with(account_id=account, uri=url)()
    for _ in range(count):
        assert samples.refusal(account, 4) is None
        samples.begin(sample_delivery(hook, {}), Asker("asker", "ref"))


def test_one_account_cannot_hold_all_test_deliveries(samples, receiver):
    begin(samples, f"{receiver.url}/hang", "noisy", 4)
    refused = samples.refusal("noisy", 4)
    assert (refused.cause, refused.setting) == ("quota", "quotas.test_deliveries")
    assert "the account has 4 test deliveries in progress" in refused.reason
    assert "quotas.test_deliveries allows 4" in refused.reason
    begin(samples, f"{receiver.url}/hang", "healthy", 4)


def test_a_node_with_all_test_deliveries_in_progress_is_busy(samples, receiver):
    for number in range(SAMPLES_AT_ONCE // 4):
        begin(samples, f"{receiver.url}/hang", f"account-{number}", 4)
    refused = samples.refusal("another", 4)
    assert (refused.cause, refused.setting) == ("busy", "")


def test_ended_test_deliveries_make_room(samples, receiver):
    begin(samples, receiver.url, "a", 4)
    ended = 0
    while ended < 4:
        assert select.select([samples], [], [], patient(20))[0]
        ended += len(samples.ended())
    begin(samples, receiver.url, "a", 4)
