"""The store work behind the maintenance commands, on every store."""

from functools import partial

import pytest

from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.maintenance import (
    Sizes,
    Step,
    enable_account,
    enable_descendants,
    orphans,
    register_views,
    reset_definitions,
)
from callboard.adapters.store.protocol import Saved, StoreError, StoreUnavailable
from callboard.adapters.store.views import ACCOUNTS, WEBHOOKS
from callboard.admin import AccountHooks, DefinitionsReset, Orphans
from callboard.webhooks.modules.discovery import discover
from callboard.webhooks.values.kazoo_names import account_database, modb
from support.hooks import AUTO_DISABLED, documents_with
from support.stores import Meddled, refuse

NOW = 63_900_000_000
UNIX_NOW = 1_764_000_000
TOP, LEFT, RIGHT, LEAF = "a1" * 16, "b2" * 16, "c3" * 16, "d4" * 16
MODULES = discover().modules


@pytest.fixture
def hooks(store):
    """The store, ready for hooks."""
    store.ensure_database("webhooks")
    store.ensure_views("webhooks", WEBHOOKS)
    return store


@pytest.fixture
def family(hooks):
    """A reseller, two accounts below it, and one below the first of those."""
    hooks.ensure_database("accounts")
    hooks.ensure_views("accounts", ACCOUNTS)
    for id, tree in [(TOP, []), (LEFT, [TOP]), (RIGHT, [TOP]), (LEAF, [TOP, LEFT])]:
        hooks.save("accounts", {"_id": id, "pvt_type": "account", "pvt_tree": tree})
    return hooks


hook = documents_with(pvt_account_id=TOP, **AUTO_DISABLED)


def found(steps):
    return [thing for step in steps for thing in step.found]


def resumed(begin):
    """The findings of work that is given up after each step from which one can go on."""
    things, after = [], ()
    while True:
        page = []
        for step in begin(after=after):
            page += step.found
            if step.after:
                after = step.after
                break
        else:
            return things + page
        things += page


class TestEnableAccount:
    def test_enables_those_that_were_disabled_for_their_failures_and_no_others(self, hooks):
        hooks.save_many(
            "webhooks",
            [
                hook("h1"),
                hook("h2", pvt_disabled_message=None),
                hook("h3", enabled=True),
                hook("h4", pvt_deleted=True),
                hook("h5", LEFT),
                hook("h6"),
            ],
        )
        (step,) = enable_account(hooks, TOP, NOW)
        assert step.found == (AccountHooks(TOP, 4, ("h1", "h6")),)
        stored = hooks.get("webhooks", "h1")
        assert stored["enabled"] is True
        assert stored["pvt_modified"] == NOW
        assert "pvt_disabled_message" not in stored
        assert [hooks.get("webhooks", f"h{n}")["enabled"] for n in (2, 4, 5)] == [False] * 3
        changed = [(c.event, c.database, c.document) for c in step.changes]
        assert changed == [
            ("doc_edited", "webhooks", hooks.get("webhooks", h)) for h in ("h1", "h6")
        ]

    def test_an_account_without_hooks(self, hooks):
        assert found(enable_account(hooks, TOP, NOW)) == [AccountHooks(TOP)]

    def test_many_hooks_take_several_steps_and_can_be_taken_up_again(self, hooks):
        hooks.save_many("webhooks", [hook(f"h{n}") for n in range(5)])
        things = resumed(partial(enable_account, hooks, TOP, NOW, sizes=Sizes(hooks=2)))
        assert [(t.seen, t.enabled, t.complete) for t in things] == [
            (2, ("h0", "h1"), False),
            (2, ("h2", "h3"), False),
            (1, ("h4",), True),
        ]
        assert found(enable_account(hooks, TOP, NOW, after=(TOP, ""))) == []

    def test_a_conflict_is_tried_again_on_what_is_stored_then(self, hooks):
        hooks.save("webhooks", hook("h1"))

        def edit(_database, documents):
            hooks.save("webhooks", documents[0] | hook("h1", name="edited"))

        meddled = Meddled(hooks, save_many=edit)
        assert found(enable_account(meddled, TOP, NOW)) == [AccountHooks(TOP, 1, ("h1",))]
        stored = hooks.get("webhooks", "h1")
        assert (stored["name"], stored["enabled"]) == ("edited", True)

    def test_a_hook_that_somebody_else_enabled_meanwhile_is_left_alone(self, hooks):
        hooks.save("webhooks", hook("h1"))

        def enable(_database, documents):
            hooks.save("webhooks", documents[0] | {"name": "theirs"})

        (step,) = enable_account(Meddled(hooks, save_many=enable), TOP, NOW)
        assert step == Step((AccountHooks(TOP, 1),), (), (TOP, ""))

    def test_a_conflict_that_does_not_end_is_reported(self, hooks):
        class Contended(Meddled):
            def save_many(self, database, documents):
                for document in documents:
                    self._store.save(database, document | hook(document["_id"]))
                return self._store.save_many(database, documents)

        hooks.save("webhooks", hook("h1"))
        (report,) = found(enable_account(Contended(hooks), TOP, NOW))
        assert report == AccountHooks(TOP, 1, (), (("h1", "conflict"),))

    def test_a_store_that_is_away_is_the_accounts_problem(self, hooks):
        away = Meddled(hooks, view=refuse(StoreUnavailable("away")))
        (step,) = enable_account(away, TOP, NOW)
        assert (step.found, step.after) == ((AccountHooks(TOP, problem="away"),), (TOP, ""))

    def test_a_hook_that_the_store_refuses_is_reported_with_the_reason(self, hooks):
        class Refusing(Meddled):
            def save_many(self, _database, documents):
                return [Saved(document["_id"], error="forbidden") for document in documents]

        hooks.save("webhooks", hook("h"))
        (report,) = found(enable_account(Refusing(hooks), TOP, NOW))
        assert (report.enabled, report.failed) == ((), (("h", "forbidden"),))


class TestEnableDescendants:
    def test_the_account_comes_first_then_all_below_it(self, family):
        family.save_many("webhooks", [hook("h1", TOP), hook("h2", LEAF), hook("h3", "e5" * 16)])
        things = found(enable_descendants(family, TOP, NOW))
        assert things == [
            AccountHooks(TOP, 1, ("h1",)),
            AccountHooks(LEFT),
            AccountHooks(RIGHT),
            AccountHooks(LEAF, 1, ("h2",)),
        ]
        assert family.get("webhooks", "h3")["enabled"] is False

    def test_not_those_beside_it(self, family):
        assert [t.account_id for t in found(enable_descendants(family, LEFT, NOW))] == [LEFT, LEAF]

    @pytest.mark.parametrize(("accounts", "documents"), [(1, 1), (2, 2), (3, 1), (50, 200)])
    def test_it_can_be_taken_up_again_at_every_step(self, family, accounts, documents):
        sizes = Sizes(documents, accounts)
        owners = [TOP] * 3 + [RIGHT] * 3 + [LEAF]
        family.save_many("webhooks", [hook(f"h{n}", owner) for n, owner in enumerate(owners)])
        things = resumed(partial(enable_descendants, family, TOP, NOW, sizes=sizes))
        assert [t.account_id for t in things if t.complete] == [TOP, LEFT, RIGHT, LEAF]
        assert [id for t in things for id in t.enabled] == [f"h{n}" for n in range(7)]

    def test_accounts_without_hooks_take_two_requests_a_batch(self, family):
        counted = Meddled(family)
        assert len(found(enable_descendants(counted, TOP, NOW))) == 4
        assert counted.calls == ["view", "view"]

    def test_a_missing_view_is_an_error(self, hooks):
        hooks.ensure_database("accounts")
        with pytest.raises(StoreError):
            list(enable_descendants(hooks, TOP, NOW))


class TestOrphans:
    def gone(self, store, **options):
        return found(orphans(store, **{"delete": True} | options))

    def test_hooks_of_accounts_that_are_gone_are_deleted_for_good(self, family):
        family.save_many("webhooks", [hook("h1", TOP), *(hook(f"g{n}", "e5" * 16) for n in (1, 2))])
        steps = list(orphans(family, delete=True))
        assert found(steps) == [Orphans("e5" * 16, 2)]
        assert family.get_many("webhooks", ["h1", "g1", "g2"]).keys() == {"h1"}
        changes = [
            (c.event, c.document["_id"], c.document["_rev"][0]) for s in steps for c in s.changes
        ]
        assert changes == [("doc_deleted", "g1", "2"), ("doc_deleted", "g2", "2")]
        assert all(c.document["pvt_account_id"] == "e5" * 16 for s in steps for c in s.changes)
        assert self.gone(family) == []

    def test_an_account_with_a_database_or_a_document_is_spared(self, family):
        family.ensure_database(account_database("e5" * 16))
        family.save_many("webhooks", [hook("h1", TOP), hook("h2", "e5" * 16)])
        assert self.gone(family) == []

    def test_an_account_whose_document_is_deleted_softly_is_gone(self, family):
        document = family.get("accounts", LEAF)
        family.save("accounts", document | {"pvt_deleted": True})
        family.save("webhooks", hook("h1", LEAF))
        assert self.gone(family) == [Orphans(LEAF, 1)]

    def test_ids_that_are_no_account_s(self, family):
        family.save("accounts", {"_id": "customer-7", "pvt_type": "account"})
        family.save_many("webhooks", [hook("h1", "customer-7"), hook("h2", "customer-8")])
        family.save("webhooks", {"_id": "h3", "pvt_type": "webhook"})
        assert self.gone(family) == [Orphans("customer-8", 1)]
        assert family.get("webhooks", "h3") is not None

    def test_a_look_deletes_nothing(self, family):
        family.save("webhooks", hook("h1", "e5" * 16))
        assert self.gone(family, delete=False) == [Orphans("e5" * 16, 1)]
        assert family.get("webhooks", "h1") is not None

    @pytest.mark.parametrize("delete", [True, False])
    def test_a_page_may_end_at_every_account(self, family, delete):
        accounts = [f"{n}" * 32 for n in range(5)]
        documents = [hook(f"{n}-{a}", a) for a in accounts for n in range(3)]
        family.save_many("webhooks", documents)
        things = resumed(partial(orphans, family, delete=delete, sizes=Sizes(2, 2)))
        assert things == [Orphans(account_id, 3) for account_id in accounts]

    def test_a_page_ends_with_each_account_whose_hooks_were_deleted(self, family):
        family.save_many("webhooks", [hook("h1", "e5" * 16), hook("h2", "e6" * 16)])
        ends = [s.found[0].account_id for s in orphans(family, delete=True) if s.page_ends]
        assert ends == ["e5" * 16, "e6" * 16]


class TestViews:
    def registered(self, store, after=()):
        directory = StoreDirectory(store, "apps@one", "west")
        return register_views(store, directory, UNIX_NOW, after)

    def test_are_stored_where_there_are_databases(self, family):
        family.save_many("webhooks", [hook("h1", LEFT), hook("h2", RIGHT)])
        family.ensure_database("system_config")
        family.save("system_config", {"_id": "accounts", "default": {"master_account_id": TOP}})
        for database in (account_database(TOP), modb(LEFT, UNIX_NOW)):
            family.ensure_database(database)
        assert found(self.registered(family)) == [
            "webhooks",
            account_database(TOP),
            modb(LEFT, UNIX_NOW),
        ]
        assert list(family.view(modb(LEFT, UNIX_NOW), "webhooks/attempts_by_time_listing")) == []
        assert list(family.view(account_database(TOP), "webhooks/webhook_meta_listing")) == []
        # A step for each database, also for that which does not exist.
        afters = [step.after for step in self.registered(family)]
        assert afters == [(), ("",), (LEFT,), (RIGHT,)]

    def test_page_by_page(self, family):
        """A page may end anywhere, and no database is left out or done again."""
        family.ensure_database("system_config")
        family.save("system_config", {"_id": "accounts", "default": {"master_account_id": TOP}})
        family.save_many("webhooks", [hook(f"h{n}", f"{n}" * 32) for n in range(3)])
        months = [modb(f"{n}" * 32, UNIX_NOW) for n in range(3)]
        for database in (account_database(TOP), *months):
            family.ensure_database(database)
        things = resumed(partial(self.registered, family))
        assert things == ["webhooks", account_database(TOP), *months]


class TestDefinitions:
    @pytest.fixture
    def master(self, store):
        """A store with a master account that has definitions of our modules, and another's."""
        store.ensure_database("system_config")
        store.save("system_config", {"_id": "accounts", "default": {"master_account_id": TOP}})
        store.ensure_database(account_database(TOP))
        ids = ["webhooks_channel_create", "webhooks_channel_answer", "webhooks_gone"]
        old = [{"_id": id, "pvt_type": "webhook_meta", "name": "old", "junk": 1} for id in ids]
        others = [{"_id": "webhookz"}, {"_id": "unrelated"}]
        store.save_many(account_database(TOP), old + others)
        return store

    def reset(self, store, id=None):
        return reset_definitions(store, StoreDirectory(store, "apps@one", "west"), MODULES, id)

    def test_all_of_them(self, master):
        (step,) = [step for step in self.reset(master) if step.found]
        (answer,) = step.found
        assert sorted(answer.reset) == [
            "webhooks_channel_answer",
            "webhooks_channel_create",
            "webhooks_gone",
        ]
        made = master.get(account_database(TOP), "webhooks_channel_create")
        assert made["name"] == "Channel Create"
        assert "junk" not in made
        assert master.get(account_database(TOP), "webhooks_gone") is None
        assert master.get(account_database(TOP), "webhookz")
        events = sorted((c.event, c.document["_id"]) for c in step.changes)
        assert events == [
            ("doc_created", "webhooks_channel_answer"),
            ("doc_created", "webhooks_channel_create"),
            ("doc_deleted", "webhooks_channel_answer"),
            ("doc_deleted", "webhooks_channel_create"),
            ("doc_deleted", "webhooks_gone"),
        ]

    def test_one_of_them(self, master):
        answer = DefinitionsReset(("webhooks_channel_answer",))
        assert found(self.reset(master, "webhooks_channel_answer")) == [answer]
        database = account_database(TOP)
        assert master.get(database, "webhooks_channel_answer")["name"] == "Channel Answer"
        assert master.get(database, "webhooks_channel_create")["name"] == "old"

    def test_one_that_was_not_there_is_made(self, master):
        answer = DefinitionsReset(("webhooks_channel_destroy",))
        assert found(self.reset(master, "webhooks_channel_destroy")) == [answer]
        assert master.get(account_database(TOP), "webhooks_channel_destroy")

    def test_without_a_master_account_there_is_no_place_for_them(self, store):
        with pytest.raises(StoreError, match="no master account"):
            list(self.reset(store))
