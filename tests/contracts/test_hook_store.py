"""Hook documents are read in pages, edited whoever else edits them, and listed."""

import pytest

from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.protocol import Conflict, StoreUnavailable
from callboard.adapters.store.views import WEBHOOKS
from callboard.webhooks.hooks.hook import disabling
from callboard.webhooks.hooks.quotas import QuotaExceeded, Quotas
from callboard.webhooks.values.kazoo_names import account_database
from support.hooks import documents_with
from support.stores import Meddled, refuse

ACCOUNT = "1b" * 16
NOW = 63_900_000_000


@pytest.fixture
def hooks(store):
    store.ensure_database("webhooks")
    store.ensure_views("webhooks", WEBHOOKS)
    return HookStore(store)


hook = documents_with(pvt_account_id=ACCOUNT)


def ids(page):
    return [document["_id"] for document in page.documents]


def test_pages_hold_all_that_may_fire(store):
    hooks = HookStore(store, page=2)
    for id in "abcde":
        hooks.add(hook(id))
    hooks.add(hook("off", enabled=False))
    hooks.add(hook("gone", pvt_deleted=True))
    assert [ids(page) for page in hooks.pages(NOW)] == [["a", "b"], ["c", "d"], ["e"]]


def test_reading_goes_on_where_it_ended(store):
    hooks = HookStore(store, page=2)
    for id in "abcde":
        hooks.add(hook(id))
    first = next(hooks.pages(NOW))
    hooks.add(hook("a", "0a" * 16) | {"_id": "before"})
    rest = [id for page in hooks.pages(NOW, after=first.end) for id in ids(page)]
    assert rest == ["b", "c", "d", "e"]


def test_a_store_that_goes_away_between_pages_is_told(store, hooks):
    for id in "ab":
        hooks.add(hook(id))
    meddled = Meddled(store, view=refuse(StoreUnavailable("away")))
    with pytest.raises(StoreUnavailable):
        next(HookStore(meddled, page=1).pages(NOW))
    assert [ids(page) for page in HookStore(meddled, page=1).pages(NOW)] == [["a"], ["b"]]


@pytest.mark.parametrize(
    "read",
    [
        lambda hooks: hooks.count(ACCOUNT),
        lambda hooks: len(hooks.listed(ACCOUNT, 9)[0]),
        lambda hooks: len(hooks.listed_of([ACCOUNT], 9)[0]),
    ],
    ids=["count", "listed", "listed_of"],
)
def test_views_that_another_process_has_not_stored_yet_are_stored(store, read):
    hooks = HookStore(store)
    assert read(hooks) == 0
    store.ensure_database("webhooks")
    assert read(hooks) == 0
    hooks.add(hook("a"))
    assert read(hooks) == 1


def test_a_hook_is_added_before_the_views_are_stored(store):
    store.ensure_database("webhooks")
    HookStore(store).add(hook("a"))
    assert [ids(page) for page in HookStore(store).pages(NOW)] == [["a"]]


def test_the_first_hook_makes_the_database(store):
    made = HookStore(store).add(hook("first"))
    assert made["_rev"].startswith("1-")
    assert [ids(page) for page in HookStore(store).pages(NOW)] == [["first"]]


def test_an_edit_is_made_on_what_others_have_just_saved(store, hooks):
    hooks.add(hook("h"))

    def meanwhile(*_arguments):
        hooks.edit("h", lambda _: {"name": "theirs"}, NOW)

    edited = HookStore(Meddled(store, save=meanwhile)).edit("h", lambda _: {"group": "ours"}, NOW)
    assert edited.changed
    assert edited.document == store.get("webhooks", "h")
    assert (edited.document["name"], edited.document["group"]) == ("theirs", "ours")
    assert edited.document["pvt_modified"] == NOW


def test_an_edit_that_has_nothing_to_change_saves_nothing(hooks):
    hooks.add(hook("h"))
    before = hooks.get("h")
    edited = hooks.edit("h", lambda _: {}, NOW)
    assert (edited.document, edited.changed) == (before, False)


@pytest.mark.parametrize("document", [None, {"pvt_deleted": True}, {"pvt_type": "note"}])
def test_what_is_no_hook_is_not_edited(hooks, document):
    if document is not None:
        hooks.add(hook("h") | document)
    edited = hooks.edit("h", lambda _: {"name": "x"}, NOW)
    assert (edited.document, edited.changed) == (None, False)


def test_an_edit_gives_up_on_one_who_always_saves_first(store, hooks):
    hooks.add(hook("h"))
    meddled = Meddled(store)

    def always(*_arguments):
        meddled.before["save"] = always
        raise Conflict("again")

    meddled.before["save"] = always
    with pytest.raises(Conflict):
        HookStore(meddled).edit("h", lambda _: {"name": "x"}, NOW)


def test_listed_shows_disabled_ones_and_whether_there_are_more(hooks):
    for id in "abc":
        hooks.add(hook(id, enabled=id != "b"))
    hooks.add(hook("other", "0a" * 16))
    found, more = hooks.listed(ACCOUNT, 2)
    assert ([d["_id"] for d in found], more) == (["a", "b"], True)
    found, more = hooks.listed(None, 4)
    assert ([d["_id"] for d in found], more) == (["other", "a", "b", "c"], False)


def test_an_account_is_made_once(store, hooks):
    other = "0a" * 16
    assert hooks.ensure_accounts([ACCOUNT], NOW) == [ACCOUNT]
    assert hooks.ensure_accounts([ACCOUNT, other], NOW + 1) == [other]
    assert hooks.ensure_accounts([], NOW + 1) == []
    account = store.get("accounts", ACCOUNT)
    del account["_rev"]
    assert account == {
        "_id": ACCOUNT,
        "pvt_type": "account",
        "pvt_account_id": ACCOUNT,
        "pvt_tree": [],
        "pvt_created": NOW,
        "pvt_modified": NOW,
    }


def test_a_listing_goes_on_behind_a_hook(hooks):
    other = "0a" * 16
    for account, id in ((other, "x"), (ACCOUNT, "a"), (ACCOUNT, "b"), (ACCOUNT, "c")):
        hooks.add(hook(id, account))

    def listed(account, limit, after):
        documents, more = hooks.listed(account, limit, after)
        return [document["_id"] for document in documents], more

    assert listed(None, 2, None) == (["x", "a"], True)
    assert listed(None, 2, (ACCOUNT, "a")) == (["b", "c"], False)
    assert listed(None, 1, (other, "x")) == (["a"], True)
    assert listed(ACCOUNT, 5, (ACCOUNT, "aa")) == (["b", "c"], False)
    assert listed(ACCOUNT, 5, (ACCOUNT, "c")) == ([], False)


def test_a_member_that_is_changed_to_none_is_gone(hooks):
    hooks.add(hook("a", group="g", custom_data={"x": 1}))
    edited = hooks.edit("a", lambda _: {"group": None, "name": "n"}, NOW)
    assert edited.changed
    stored = hooks.get("a")
    assert stored == edited.document
    assert "group" not in stored
    assert (stored["name"], stored["custom_data"]) == ("n", {"x": 1})


def test_an_account_may_not_have_more_hooks_than_its_quota(store, hooks):
    limited = HookStore(store, Quotas(hooks=2))
    assert hooks.count(ACCOUNT) == 0
    limited.add(hook("a"))
    limited.add(hook("b", enabled=False))
    with pytest.raises(QuotaExceeded, match=r"the account has 2 hooks: quotas\.hooks allows 2"):
        limited.add(hook("c"))
    limited.add(hook("other", "0a" * 16))
    limited.edit("a", lambda _: {"pvt_deleted": True}, NOW)
    limited.add(hook("d"))
    assert (hooks.count(ACCOUNT), hooks.count("0a" * 16)) == (2, 1)
    assert hooks.get("c") is None


@pytest.mark.parametrize(
    "config", [{"quotas": {"hooks": 1}}, {"quotas": {"hooks": 1}, "pvt_deleted": True}]
)
def test_an_account_may_have_a_quota_of_its_own(store, hooks, config):
    database = account_database(ACCOUNT)
    store.ensure_database(database)
    store.save(database, config | {"_id": "configs_webhooks"})
    limited = HookStore(store, Quotas(hooks=2))
    limited.add(hook("a"))
    if "pvt_deleted" in config:
        limited.add(hook("b"))
    with pytest.raises(QuotaExceeded):
        limited.add(hook("c"))


def test_a_hook_too_large_is_not_stored_and_does_not_grow(store, hooks):
    limited = HookStore(store, Quotas(custom_data_members=1))
    large = {"custom_data": {"a": "1", "b": "2"}}
    with pytest.raises(QuotaExceeded):
        limited.add(hook("h", **large))
    stored = hooks.add(hook("h", custom_data={}))
    with pytest.raises(QuotaExceeded):
        limited.edit("h", lambda _: large, NOW)
    with pytest.raises(QuotaExceeded):
        limited.replace(stored, stored | large)
    assert hooks.get("h") == stored


def test_a_stored_hook_above_a_quota_is_disabled_like_others(store, hooks):
    hooks.add(hook("h", custom_data={"a": "1", "b": "2"}))
    limited = HookStore(store, Quotas(hooks=1, custom_data_members=1))
    assert limited.edit("h", lambda _: disabling(hooks.get("h"), "failed"), NOW).changed
    edited = limited.edit("h", lambda _: {"name": "x"}, NOW)
    assert (edited.document["name"], edited.document["enabled"]) == ("x", False)
    replaced = limited.replace(edited.document, edited.document | {"custom_data": {"a": "1"}})
    assert hooks.get("h") == replaced


def test_a_listing_of_several_accounts_has_their_order_and_goes_on_where_it_ended(hooks):
    first, empty, last = "0a" * 16, "0b" * 16, "0c" * 16
    for account, id in ((last, "x"), (first, "a"), (first, "b"), (ACCOUNT, "c")):
        hooks.add(hook(id, account))
    accounts = (last, empty, first)

    def listed(limit, after=None, accounts=accounts):
        documents, more = hooks.listed_of(accounts, limit, after)
        return [document["_id"] for document in documents], more

    assert listed(5) == (["x", "a", "b"], False)
    assert listed(1) == (["x"], True)
    assert listed(1, (last, "x")) == (["a"], True)
    assert listed(1, (first, "a")) == (["b"], False)
    assert listed(3) == (["x", "a", "b"], False)
    assert listed(2, (last, "x")) == (["a", "b"], False)
    assert listed(3, (first, "b")) == ([], False)
    assert listed(3, ("no such", "b")) == ([], False)
    assert listed(1, (first, "")) == (["a"], True)
    assert listed(1, (first, "a"), (first, last)) == (["b"], True)
    assert hooks.counts([]) == {}
    assert hooks.counts([first, empty]) == {first: 2}
