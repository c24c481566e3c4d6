"""Requests for stored hooks, one and many, on a real store: what is saved, published, answered."""

import base64
import time
from types import SimpleNamespace

import pytest

from callboard.actors.hooks.bulk import BulkEditing
from callboard.actors.hooks.changes import HookChanges
from callboard.actors.hooks.editing import HookEditing
from callboard.actors.messages import (
    AddHook,
    CancelDeliveries,
    DisableHook,
    EditHook,
    HookSaved,
    ListHooks,
    Refused,
    RemoveHook,
)
from callboard.actors.messages.bulk import HooksPut, PutHooks
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.views import ALL, WEBHOOKS
from callboard.config.settings import Settings
from callboard.webhooks.declarations.plan import GivenSecret, PutHook, Removed
from callboard.webhooks.deliveries.signing import parse_secret
from callboard.webhooks.hooks.hook import InvalidHook
from callboard.webhooks.hooks.quotas import Quotas

PUBLIC = {"name": "n", "uri": "https://x.example/", "hook": "shop", "pvt_account_id": "a"}
SECRET = parse_secret("whsec_" + "A" * 43 + "=")


class Editing:
    """The requests' handlers, and what they ask of the parts around them."""

    def __init__(self, folder, quotas):
        self.documents = EmbeddedStore(folder / "store.sqlite3", views=ALL)
        self.documents.ensure_database("webhooks")
        self.documents.ensure_views("webhooks", WEBHOOKS)
        self.published, self.notified, self.changed = [], [], []
        self.sent, self.replied, self.ensured, self.put = [], [], [], []
        self.problem = None
        store = HookStore(self.documents, quotas)
        self.changes = HookChanges(store, self, "node@host", self.changed.extend)
        self.one = HookEditing(
            store,
            self.changes,
            SimpleNamespace(reply=self.reply),
            self.answer,
            check=self.check,
            defaults=lambda _document: {},
            ensure_accounts=lambda ids: self.ensured.append(sorted(ids)),
            node="node@host",
        )
        self.many = BulkEditing(
            store,
            SecretBox(base64.b64encode(bytes(32)).decode(), folder / "no.key"),
            self,
            SimpleNamespace(reply=self.reply),
            self.answer,
            check=self.check,
            ensure_accounts=lambda ids: self.ensured.append(sorted(ids)),
            put=lambda saved, new: self.put.append(([one["_id"] for one in saved], new)),
            settings=Settings(),
        )

    # The publisher of changes, and the other parts

    def publish(self, changes):
        self.published += [(one.event, one.database, one.document["_id"]) for one in changes]

    def send(self, messages):
        self.notified += messages

    def reply(self, to, reply):
        self.replied.append((to, reply))

    def answer(self, to, message):
        self.sent.append((to, message))

    def check(self, document, *_config):
        if self.problem is not None:
            raise InvalidHook(document["_id"], self.problem)

    def add(self, **fields):
        """Add a hook; its id."""
        self.one.add(AddHook(PUBLIC | fields), "client")
        to, saved = self.replied.pop()
        assert (to, self.sent) == ("client", [])
        return saved.document["_id"]

    def put_all(self, *puts, removed=()):
        self.many.change(PutHooks(puts, removed), "client")
        ((to, done),) = self.replied
        self.replied.clear()
        assert (to, type(done)) == ("client", HooksPut)
        return done

    def hook(self, id):
        return self.documents.get("webhooks", id)


@pytest.fixture
def quotas():
    return Quotas()


@pytest.fixture
def it(tmp_path, quotas):
    made = Editing(tmp_path, quotas)
    yield made
    made.documents.close()


def put(id, rev=None, account="a", secrets=None, **members):
    public = {name: text for name, text in PUBLIC.items() if not name.startswith("pvt_")}
    return PutHook(id, account, public | members, rev, secrets)


# One hook


def test_a_hook_is_added_to_an_account_that_is_there_and_its_change_is_published(it):
    id = it.add()
    assert it.hook(id)["uri"] == "https://x.example/"
    assert it.ensured == [["a"]]
    assert it.published == [("doc_created", "webhooks", id)]
    assert it.changed == [("a", id)]


def test_a_hook_that_could_not_fire_is_neither_added_nor_told_of(it):
    it.problem = "it could never fire"
    it.one.add(AddHook(PUBLIC), "client")
    assert it.sent == [("client", Refused("it could never fire"))]
    assert (it.ensured, it.published, it.changed, it.replied) == ([], [], [], [])
    assert list(it.documents.documents("webhooks", start="0", end="g")) == []


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (lambda id: EditHook(id, {"name": "other"}), "doc_edited"),
        (RemoveHook, "doc_deleted"),
        (CancelDeliveries, "doc_edited"),
    ],
)
def test_each_change_is_published_under_its_name(it, message, event):
    id = it.add()
    it.published.clear()
    request = message(id)
    name = {EditHook: "edit", RemoveHook: "remove", CancelDeliveries: "cancel"}[type(request)]
    getattr(it.one, name)(request, "client")
    assert it.published == [(event, "webhooks", id)]
    ((to, saved),) = it.replied
    assert (to, type(saved)) == ("client", HookSaved)


def test_an_edit_that_changes_nothing_is_answered_and_not_published(it):
    id = it.add()
    it.published.clear()
    it.one.edit(EditHook(id, {"name": "n"}), "client")
    assert (it.published, len(it.replied)) == ([], 1)
    it.one.edit(EditHook("none", {"name": "n"}), "client")
    ((_to, refused),) = it.sent
    assert refused.reason.startswith("there is no hook none")


def test_a_listing_says_if_there_are_more_than_the_limit_or_a_message_holds(it):
    def listed(limit):
        it.one.list(ListHooks("a", limit), "client")
        (_to, found) = it.sent.pop()
        return len(found.documents), found.more

    for number in range(3):
        it.add(name=f"n{number}", custom_data={"text": "x" * 30_000})
    assert (listed(2), listed(3)) == ((2, True), (3, False))
    for number in range(35):
        it.add(name=f"m{number}", custom_data={"text": "x" * 30_000})
    count, more = listed(100)
    assert (30 < count < 38, more) == (True, True)


def test_that_a_hook_was_disabled_is_published_as_a_notification_of_kazoo(it):
    it.changes.publish_disabled(DisableHook("a", "h", "too many"))
    ((exchange, key, body),) = it.notified
    assert (exchange, key) == ("notifications", "notifications.webhook.disabled")
    assert (body["Account-ID"], body["Hook-ID"], body["Node"]) == ("a", "h", "node@host")


# Many hooks


def test_what_is_new_is_told_apart_from_what_is_edited_or_removed(it):
    edited, gone = it.add(), it.add()
    it.published.clear()
    it.ensured.clear()
    removed = Removed("a", gone, it.hook(gone)["_rev"], "n")
    changed = put(edited, it.hook(edited)["_rev"], name="other")
    done = it.put_all(changed, put("new", account="b"), removed=(removed,))
    assert (set(done.done), done.refused) == ({edited, "new", gone}, {})
    assert it.ensured[-1] == ["b"], "only accounts that get a hook"
    assert it.put == [([edited, "new", gone], {"new"})]
    assert it.published == [
        ("doc_edited", "webhooks", edited),
        ("doc_created", "webhooks", "new"),
        ("doc_deleted", "webhooks", gone),
    ]


@pytest.mark.parametrize("quotas", [Quotas(hooks=3)])
def test_hooks_that_are_stored_and_those_of_the_request_count_for_an_account(it):
    stored = it.add()
    changed = put(stored, it.hook(stored)["_rev"], name="other")
    done = it.put_all(changed, put("h1"), put("h2"), put("h3"), put("h4", account="b"))
    assert set(done.done) == {stored, "h1", "h2", "h4"}
    assert done.refused == {"h3": "the account has 3 hooks: quotas.hooks allows 3"}


@pytest.mark.parametrize("quotas", [Quotas(custom_data_members=1)])
def test_a_hook_that_is_too_large_is_refused_unless_it_was_as_large_before(it):
    two = {"a": 1, "b": 2}
    it.documents.save(
        "webhooks", {"_id": "old", "pvt_type": "webhook", **PUBLIC, "custom_data": two}
    )
    rev = it.hook("old")["_rev"]
    done = it.put_all(put("old", rev, name="other", custom_data=two), put("new", custom_data=two))
    assert (done.done, list(done.refused)) == (("old",), ["new"])


def test_a_secret_that_is_there_keeps_its_text_and_takes_the_reference_it_comes_with(it):
    given = GivenSecret(SECRET.fingerprint, "file:a", SECRET.text)
    it.put_all(put("h", secrets=(given,)))
    (first,) = it.hook("h")["pvt_secrets"]
    assert first["reference"] == "file:a"
    for text, reference in ((None, "file:a"), (SECRET.text, "file:b")):
        again = GivenSecret(SECRET.fingerprint, "file:b", text)
        members = {"name": f"with {reference}", "secrets": (again,)}
        it.put_all(put("h", it.hook("h")["_rev"], **members))
        assert it.hook("h")["pvt_secrets"] == [first | {"reference": reference}]


def test_to_set_quotas_writes_no_defaults_of_the_cluster(it):
    it.documents.ensure_database("account/ac/me/1")
    it.many.change(PutHooks((), (), {"acme1": {"hooks": 2}, "none": {"hooks": 2}}), "client")
    ((_to, done),) = it.replied
    assert done.refused == {"none": "there is no such account"}
    assert it.ensured[0] == ["acme1", "none"]
    assert it.published == [("doc_edited", "account/ac/me/1", "configs_webhooks")]
    stored = it.documents.get("account/ac/me/1", "configs_webhooks")
    assert stored["quotas"] == {"hooks": 2}
    assert not it.documents.database_exists("system_config")


def test_a_cancellation_is_marked_with_its_time_in_unix_milliseconds(it, monkeypatch):
    id = it.add()
    monkeypatch.setattr(time, "time", lambda: 1_790_000_000.25)
    it.one.cancel(CancelDeliveries(id), "client")
    assert it.hook(id)["pvt_deliveries_cancelled_ms"] == 1_790_000_000_250
