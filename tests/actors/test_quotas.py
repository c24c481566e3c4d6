"""Quotas at the actors: hooks that other programs add and edit, and test deliveries."""

import json
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
from callboard.adapters.receiver.server import Answer
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.spool import Spool
from callboard.adapters.store.views import WEBHOOKS
from callboard.config.settings import DataSettings, DeliverySettings, Settings
from callboard.supervision import Timer
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.hooks.quotas import Quotas
from services import free_port
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
        hooks, changes, replies, replies.send, lambda _: None, lambda _: {}, lambda _: None, "node"
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
    assert not samples._by_account, "accounts without any are forgotten"
    begin(samples, receiver.url, "a", 4)


def test_one_that_has_ended_makes_room_for_one(samples, receiver):
    begin(samples, f"{receiver.url}/hang", "a", 3)
    begin(samples, receiver.url, "a", 1)
    assert samples.refusal("a", 4) is not None
    assert select.select([samples], [], [], patient(20))[0]
    assert len(samples.ended()) == 1
    begin(samples, f"{receiver.url}/hang", "a", 1)
    assert "the account has 4 test deliveries" in samples.refusal("a", 4).reason


def result_of(samples, uri, **fields):
    """The result of one test delivery of `{"a": "é"}`."""
    hook = hooks_with(account_id="a", uri=uri, format="json", **fields)("h")
    samples.begin(sample_delivery(hook, {"a": "é"}), Asker("asker", "ref"))
    assert select.select([samples], [], [], patient(20))[0]
    ((to, result),) = samples.ended()
    assert to == Asker("asker", "ref")
    assert 0 < result.duration_s < patient(20)
    assert ("X-Callboard-Test", "true") in result.request_headers
    assert (result.hook_id, result.method) == ("h", "POST")
    assert json.loads(result.request_body) == {"a": "é"}
    return result


@pytest.mark.parametrize(
    ("policy", "status", "succeeded"),
    [
        ("standard", 201, True),
        ("standard", 404, False),
        ("kazoo", 201, False),
        ("kazoo", 200, True),
    ],
)
def test_the_response_to_a_test_delivery_is_shown(samples, receiver, policy, status, succeeded):
    receiver.answer("/", Answer(status, b"is \xff", headers={"X-A": "b"}))
    result = result_of(samples, receiver.url, options=Options(policy=policy))
    assert (result.status, result.succeeded) == (status, succeeded)
    assert (result.url, result.error, result.detail) == (receiver.url, "", "")
    assert (result.response_body, result.response_cut) == ("is \ufffd", False)
    assert "b" in dict(result.response_headers).values()


def test_a_test_delivery_without_a_response_says_why(samples, tmp_path):
    port = free_port()
    refused = result_of(samples, f"http://127.0.0.1:{port}/")
    assert (refused.status, refused.succeeded) == (0, False)
    assert refused.error == "failed_connect: econnrefused"
    assert "refused" in refused.detail
    with_password = result_of(samples, f"http://user:secret@127.0.0.1:{port}/")
    assert with_password.error.startswith("refused: credentials")
    assert with_password.url == f"http://127.0.0.1:{port}/"
    delivery = DeliverySettings(dry_run=True, allow_networks=["127.0.0.0/8"])
    dry = SampleDeliveries(Settings(data=DataSettings(dir=tmp_path), delivery=delivery))
    unsent = result_of(dry, f"http://127.0.0.1:{port}/")
    dry.close()
    assert (unsent.status, unsent.error) == (0, "dry run")
    assert unsent.detail == "not sent (delivery.dry_run)"


def test_a_test_delivery_is_attempted_once():
    assert sample_delivery(hooks_with(account_id="a")(max_attempts=5), {}).max_attempts == 1
