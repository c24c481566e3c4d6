"""Old hooks are migrated once, whole or not at all, on every store."""

import threading

import pytest
import structlog

from callboard.adapters.repositories.migration import as_migrated, migrated
from callboard.adapters.store import views
from callboard.adapters.store.protocol import Conflict, Saved, StoreUnavailable
from callboard.webhooks.hooks.migration import migration
from support.hooks import documents_with
from support.patience import patient
from support.stores import Meddled, refuse

ACCOUNT = "a1" * 16
LISTING = "webhooks/webhooks_listing"
NOW = 63_900_000_000


hook_of = documents_with(pvt_account_id=ACCOUNT, uri="http://u/")


def hook(id, event="inbound_fax", **fields):
    return hook_of(id, event=event, **fields)


TWIN = migration(hook("fax"), NOW).twin["_id"]


@pytest.fixture
def hooks(store):
    """A store with database `webhooks`, and `hooks.save(*documents)`, `page()`, `all()`."""
    store.ensure_database("webhooks")
    store.ensure_views("webhooks", views.WEBHOOKS)
    return Hooks(store)


class Hooks:
    def __init__(self, store):
        self.store = store

    def save(self, *documents):
        assert not [s for s in self.store.save_many("webhooks", documents) if s.error]

    def edit(self, id, **fields):
        self.store.save("webhooks", self.store.get("webhooks", id) | fields)

    def page(self):
        rows = self.store.view("webhooks", LISTING, include_documents=True)
        return [row.document for row in rows]

    def all(self):
        return {document["_id"]: document for document in self.store.documents("webhooks")}


class Refusing(Meddled):
    """Refuses to save these documents, by id."""

    def __init__(self, store, *refused):
        super().__init__(store)
        self.refused = refused

    def save_many(self, database, documents):
        answers = {
            d["_id"]: Saved(d["_id"], error="forbidden")
            for d in documents
            if d["_id"] in self.refused
        }
        kept = [d for d in documents if d["_id"] not in self.refused]
        answers |= {saved.id: saved for saved in self._store.save_many(database, kept)}
        return [answers[d["_id"]] for d in documents]


def test_a_page_is_migrated_in_place_and_twins_are_appended(hooks):
    hooks.save(
        hook("a", "all"),
        hook("b", "callflow"),
        hook("fax", custom_data={"x": "y"}),
        hook("z", "sms"),
    )
    page = hooks.page()
    loaded = migrated(hooks.store, page, NOW)
    assert [d["_id"] for d in loaded] == ["a", "b", "fax", "z", TWIN]
    assert {d["_id"]: d for d in loaded} == hooks.all()
    assert (loaded[0], loaded[3]) == (page[0], page[3])
    assert loaded[1]["custom_data"] == {"type": "callflow"}
    assert "other_id" not in loaded[1]
    assert (loaded[2]["other_id"], loaded[4]["other_id"]) == (TWIN, "fax")
    assert loaded[2]["custom_data"] == {"x": "y", "type": "inbound_fax"}
    assert loaded[4]["custom_data"] == {"x": "y", "type": "inbound_fax_error"}
    assert loaded[2]["_rev"].startswith("2-")
    assert loaded[4]["_rev"].startswith("1-")


def test_a_page_without_old_hooks_asks_nothing_of_the_store(hooks):
    hooks.save(hook("a", "all"), hook("b", "sms", enabled=False))
    documents = list(hooks.all().values())
    meddled = Meddled(hooks.store)
    assert migrated(meddled, documents, NOW) == documents
    assert meddled.calls == []


def test_a_page_is_saved_in_bulk(hooks):
    hooks.save(*(hook(f"fax{number}") for number in range(20)))
    meddled = Meddled(hooks.store)
    assert len(migrated(meddled, hooks.page(), NOW)) == 40
    assert meddled.calls == ["save_many", "save_many"]


def test_a_second_time_nothing_is_left_to_do(hooks):
    hooks.save(hook("fax"))
    once = migrated(hooks.store, hooks.page(), NOW)
    assert migrated(hooks.store, hooks.page(), NOW + 1) == sorted(once, key=lambda d: d["_id"])


def test_without_its_twin_a_hook_is_not_migrated(hooks):
    hooks.save(hook("fax"), hook("flow", "callflow"))
    page = hooks.page()
    with structlog.testing.capture_logs() as logs:
        loaded = migrated(Refusing(hooks.store, TWIN), page, NOW)
    assert loaded[0] == page[0] == hooks.all()["fax"]
    assert loaded[1]["hook"] == "notifications"
    assert hooks.all().keys() == {"fax", "flow"}
    assert ("hook_not_migrated", "fax") in [(line["event"], line["hook"]) for line in logs]


def test_a_twin_is_not_left_without_its_hook(hooks):
    hooks.save(hook("fax"), hook("flow", "callflow"))
    page = hooks.page()
    loaded = migrated(Refusing(hooks.store, "fax"), page, NOW)
    assert loaded[0] == page[0] == hooks.all()["fax"]
    assert loaded[1]["hook"] == "notifications"
    assert hooks.all().keys() == {"fax", "flow"}


def test_a_hook_that_the_store_refuses_is_no_conflict(hooks):
    hooks.save(hook("flow", "callflow"))
    store = Refusing(hooks.store, "flow")
    with structlog.testing.capture_logs() as logs:
        migrated(store, hooks.page(), NOW)
    assert store.calls == []
    assert [(line["event"], line["hook"], line["reason"]) for line in logs] == [
        ("hook_not_migrated", "flow", "forbidden")
    ]


def test_a_twin_that_the_store_refuses_is_no_conflict(hooks):
    hooks.save(hook("fax"))
    page = hooks.page()
    migrated(Meddled(hooks.store), page, NOW)
    hooks.edit("fax", **page[0] | {"_rev": hooks.all()["fax"]["_rev"]})
    with structlog.testing.capture_logs() as logs:
        migrated(Refusing(hooks.store, TWIN), hooks.page(), NOW)
    assert [(line["event"], line["hook"], line["reason"]) for line in logs] == [
        ("twin_not_saved", "fax", "forbidden"),
        ("hook_not_migrated", "fax", "its twin cannot be saved"),
    ]


def test_what_was_interrupted_is_finished(hooks):
    hooks.save(hook("fax"))
    away = Meddled(hooks.store)
    away.calls = Stopping(2, "save_many")
    with pytest.raises(StoreUnavailable):
        migrated(away, hooks.page(), NOW)
    assert hooks.all()["fax"]["hook"] == "inbound_fax"
    assert TWIN in hooks.all()

    hooks.edit("fax", uri="http://new/")
    loaded = migrated(hooks.store, hooks.page(), NOW + 1)
    assert {d["_id"]: d for d in loaded} == hooks.all()
    assert [d["uri"] for d in loaded] == ["http://new/"] * 2
    assert {d["hook"] for d in loaded} == {"notifications"}


class Stopping(list):
    """The list of calls of a store that goes away at the n-th call of a method."""

    def __init__(self, number, name):
        super().__init__()
        self.number, self.name = number, name

    def append(self, name):
        super().append(name)
        if self.count(self.name) == self.number:
            raise StoreUnavailable("away")


def test_a_store_that_is_away_is_an_error(hooks):
    hooks.save(hook("fax"))
    away = Meddled(hooks.store, save_many=refuse(StoreUnavailable("away")))
    with pytest.raises(StoreUnavailable):
        migrated(away, hooks.page(), NOW)
    assert hooks.all().keys() == {"fax"}


def test_a_faster_node_has_done_it(hooks):
    hooks.save(hook("fax"), hook("flow", "callflow"))
    page = hooks.page()
    theirs = migrated(hooks.store, page, NOW)
    assert migrated(hooks.store, page, NOW + 1) == theirs
    assert {d["_id"]: d for d in theirs} == hooks.all()


def test_nodes_at_the_same_time_make_one_migration(hooks):
    hooks.save(*(hook(f"fax{number}") for number in range(10)))
    page = hooks.page()
    together = threading.Barrier(3)
    loads = []

    def node(number):
        meddled = Meddled(hooks.store, save_many=lambda *_: together.wait(patient(10)))
        loads.append(migrated(meddled, page, NOW + number))

    threads = [threading.Thread(target=node, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = hooks.all()
    assert len(stored) == 20
    for loaded in loads:
        assert {d["_id"]: d["other_id"] for d in loaded} == {
            id: d["other_id"] for id, d in stored.items()
        }
    for id, document in stored.items():
        assert stored[document["other_id"]]["other_id"] == id


def test_another_program_gave_it_another_twin(hooks):
    hooks.save(hook("fax"))
    page = hooks.page()
    hooks.edit("fax", hook="notifications", type="inbound_fax", other_id="theirs")
    hooks.save(hook("theirs", "notifications", other_id="fax"))
    assert migrated(hooks.store, page, NOW) == [hooks.all()["fax"]]
    assert hooks.all().keys() == {"fax", "theirs"}


def test_an_edit_meanwhile_is_kept(hooks):
    hooks.save(hook("fax"))
    page = hooks.page()
    hooks.edit("fax", uri="http://new/")
    loaded = migrated(hooks.store, page, NOW)
    assert {d["_id"]: d for d in loaded} == hooks.all()
    assert [(d["uri"], d["hook"]) for d in loaded] == [("http://new/", "notifications")] * 2


@pytest.mark.parametrize(
    "change", [{"pvt_deleted": True}, {"enabled": False}, {"_deleted": True}, {"hook": "object"}]
)
def test_a_hook_that_is_no_more_to_be_migrated_gets_no_twin(hooks, change):
    hooks.save(hook("fax"))
    page = hooks.page()
    hooks.edit("fax", **change)
    loaded = migrated(hooks.store, page, NOW)
    assert loaded == ([hooks.all()["fax"]] if "hook" in change else [])
    assert TWIN not in hooks.all()


def test_the_twin_of_a_faster_node_is_not_taken_away(hooks):
    hooks.save(hook("fax"))
    page = hooks.page()

    class Overtaken(Refusing):
        def save_many(self, database, documents):
            if "fax" in [document["_id"] for document in documents]:
                migrated(hooks.store, page, NOW)
            return super().save_many(database, documents)

    migrated(Overtaken(hooks.store, "fax"), page, NOW)
    assert hooks.all()["fax"]["other_id"] == TWIN
    assert hooks.all()[TWIN]["other_id"] == "fax"


def test_what_became_of_one_hook_says_nothing_of_the_next(hooks):
    hooks.save(*(hook(f"fax{number}") for number in range(6)))
    page = hooks.page()
    hooks.edit("fax0", uri="http://new/")  # to be migrated again
    hooks.edit("fax1", hook="object")  # is no more to be migrated
    hooks.edit("fax3", uri="http://new/")
    hooks.edit("fax4", enabled=False)
    with structlog.testing.capture_logs():
        loaded = migrated(Refusing(hooks.store, "fax2"), page, NOW)
    there = {d["_id"]: d["hook"] for d in loaded if d["_id"].startswith("fax")}
    assert there == {
        "fax0": "notifications",
        "fax1": "object",
        "fax2": "inbound_fax",
        "fax3": "notifications",
        "fax5": "notifications",
    }
    twins = {d["other_id"] for d in loaded if not d["_id"].startswith("fax")}
    assert twins == {"fax0", "fax3", "fax5"}
    assert len(hooks.all()) == 9


def test_edits_without_end_are_given_up(hooks):
    hooks.save(hook("fax"))

    class Edited(Meddled):
        def save_many(self, database, documents):
            if "fax" in [document["_id"] for document in documents]:
                hooks.edit("fax", uri=f"http://{len(self.calls)}/")
                self.calls.append("edited")
            return self._store.save_many(database, documents)

    busy = Edited(hooks.store)
    with structlog.testing.capture_logs() as logs:
        assert migrated(busy, hooks.page(), NOW) == [hooks.all()["fax"]]
    assert busy.calls.count("edited") == 3
    assert [(line["event"], line["log_level"], line["hook"], line["name"]) for line in logs] == [
        ("hook_not_migrated", "error", "fax", "inbound_fax")
    ]
    assert hooks.all().keys() == {"fax"}
    assert hooks.all()["fax"]["hook"] == "inbound_fax"


def test_an_owners_edit_of_a_twin_is_kept(hooks):
    hooks.save(hook("fax"))
    page = hooks.page()
    migrated(hooks.store, page, NOW)
    hooks.edit(TWIN, uri="http://mine/", pvt_modified=NOW + 5)
    loaded = migrated(hooks.store, page, NOW + 9)
    assert [d["uri"] for d in loaded] == ["http://u/", "http://mine/"]
    hooks.edit(TWIN, enabled=False)
    assert [d["_id"] for d in migrated(hooks.store, page, NOW + 9)] == ["fax"]


def test_a_stranger_on_the_twins_id_is_left_alone(hooks):
    hooks.save(hook("fax"), hook(TWIN, "all"))
    with structlog.testing.capture_logs():
        loaded = migrated(hooks.store, hooks.page(), NOW)
    assert {d["_id"]: d["hook"] for d in loaded} == {"fax": "inbound_fax", TWIN: "all"}


def test_a_twin_that_cannot_be_removed_is_told(hooks):
    hooks.save(hook("fax"))
    store = Refusing(hooks.store, "fax")
    store.before = {"delete": refuse(Conflict("busy"))}
    with structlog.testing.capture_logs() as logs:
        migrated(store, hooks.page(), NOW)
    assert "twin_left" in [line["event"] for line in logs]


def test_what_hooks_would_become_is_known_without_saving_them(hooks):
    hooks.save(hook("fax"), hook("other", "object"))
    page = hooks.page()
    would = as_migrated(page, NOW)
    assert hooks.page() == page

    def by_id(documents):
        return {d["_id"]: {key: d[key] for key in d.keys() - {"_rev"}} for d in documents}

    assert by_id(would) == by_id(migrated(hooks.store, page, NOW))
    assert by_id(would).keys() == {"fax", TWIN, "other"}
    assert as_migrated(would, NOW) == would
