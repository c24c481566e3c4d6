"""What `callboard doctor` says of a user who is no administrator of the CouchDB."""

import time

import pytest

from callboard.adapters.store import views
from callboard.adapters.store.rights import RIGHTS, VIEWS
from callboard.cli.doctor import store
from callboard.webhooks.values.kazoo_names import account_database, modb
from support.running import ACCOUNT

MASTER = "ff" * 16
WEEK_S = 7 * 24 * 3600
KAZOOS = ("accounts", "system_config", "system_schemas", "services", "port_requests")
OURS = ("callboard_dead_letters", "callboard_posted_events", "callboard_tokens")

pytestmark = pytest.mark.couchdb


def months():
    return list(dict.fromkeys(modb(ACCOUNT, time.time() + ahead) for ahead in (0, WEEK_S)))


@pytest.fixture
def site(restricted):
    """All that an administrator makes beforehand, but for the databases left out."""

    def site(*left_out, **how):
        """`how`: the arguments of Restricted.make by database."""
        everything = {
            "webhooks": views.WEBHOOKS,
            **dict.fromkeys((*KAZOOS, *OURS), ()),
            "callboard_dead_letters": views.DEAD_LETTERS,
            account_database(MASTER): views.ACCOUNT,
            account_database(ACCOUNT): (),
            **dict.fromkeys(months(), views.MODB),
        }
        for database, its_views in everything.items():
            if database not in left_out:
                options = {"views": its_views} | how.get(database, {})
                restricted.make(database, **options)
        hook = {"pvt_type": "webhook", "pvt_account_id": ACCOUNT, "hook": "all", "name": "n"}
        if "views" not in how.get("webhooks", {}) and "webhooks" not in left_out:
            restricted.admin.save("webhooks", {"_id": "1", **hook, "uri": "http://h.example/"})
        if "system_config" not in left_out:
            config = {"_id": "accounts", "default": {"master_account_id": MASTER}}
            restricted.admin.save("system_config", config)

    return site


@pytest.fixture
def found(restricted, settings):
    """(result, what, mend) of the rights, after all other findings were without a problem."""

    def found(**given):
        made = [*store.store(settings(couchdb__url=restricted.url, **given))]
        others = [finding for finding in made if finding.name != "rights"]
        assert not [each for each in others if each.result == "problem"], others
        return [(f.result, f.what, f.mend) for f in made if f.name == "rights"]

    return found


def test_where_nothing_is_lacking_it_is_well(site, found, restricted):
    site()
    user = restricted.user
    assert found() == [("ok", f"{user} has all that is needed, and is no admin", "")]
    assert restricted.refused() == set()


def test_an_administrator_s_rights_are_not_listed(site, settings, restricted):
    names = [f.name for f in store.store(settings(couchdb__url=restricted.admin_url))]
    assert "rights" not in names


def test_a_missing_database_says_who_makes_it_and_what_stops(site, found, restricted):
    month = months()[0]
    site(month, "callboard_tokens")
    user = restricted.user
    assert found() == [
        (
            "warning",
            f"callboard_tokens does not exist, and {user} may not create it; without the right to "
            "create: no tokens of accounts",
            "have an administrator create callboard_tokens, with the user as its member",
        ),
        (
            "problem",
            f"{month} does not exist, and {user} may not create it; without the right to create: "
            "the attempts of the account are lost until the database exists (attempts_refused)",
            f"have an administrator create {month}, with the user as its member",
        ),
    ]


def test_without_the_database_of_hooks(site, found):
    site("webhooks")
    ((result, what, _mend),) = found()
    assert result == "problem"
    assert what.startswith("webhooks does not exist")
    assert what.endswith("no hook is loaded (store_not_prepared)")


@pytest.mark.parametrize(
    ("database", "without"),
    [
        ("webhooks", "no hook is loaded (hooks_not_loaded)"),
        ("system_config", "events wait (store_unavailable); the node is not ready"),
        ("services", "events wait (store_unavailable)"),
        (account_database(ACCOUNT), "events of the account wait (store_unavailable)"),
        ("callboard_dead_letters", "dead letters cannot be handled, and stay"),
    ],
)
def test_a_database_of_others_is_named(site, found, restricted, database, without):
    site(**{database: {"member": False}})
    assert found() == [
        (
            "problem",
            f"{restricted.user} is no member of {database}; without the right to read: {without}",
            f"make the user a member of {database} (`_security`)",
        )
    ]


def test_views_that_an_administrator_has_to_store_are_named(site, found):
    site(webhooks={"views": views.WEBHOOKS[:1]})
    ((result, what, mend),) = found()
    lacking = ", ".join(view.name for view in views.WEBHOOKS[1:])
    assert (result, what.partition(";")[0]) == ("problem", f"webhooks lacks the views {lacking}")
    assert "make the user a database administrator of webhooks" in mend


def test_an_administrator_of_the_database_stores_them_itself(site, settings, restricted):
    site(webhooks={"views": (), "admin": True})
    made = {f.name: f for f in store.store(settings(couchdb__url=restricted.url))}
    assert made["rights"].result == "ok"
    assert (made["views"].result, made["databases"].result) == ("warning", "ok")


def test_databases_are_listed_only_where_old_attempts_are_deleted(site, found):
    site()
    ((result, what, mend),) = found(attempts__keep_days=30)
    assert result == "warning"
    assert "listing databases account/: credentials refused" in what
    assert what.endswith("old attempts stay (attempts_not_purged)")
    assert "attempts.keep_days" in mend


def test_without_kazoo_its_databases_are_not_looked_for(site, found):
    site(*(set(KAZOOS) - {"system_config"}), account_database(MASTER))
    assert [result for result, _what, _mend in found(kazoo__modules="")] == ["ok"]


def test_views_are_stored_where_the_rights_say_so():
    assert {right.database for right in RIGHTS if right.operation == "store views"} == set(VIEWS)
