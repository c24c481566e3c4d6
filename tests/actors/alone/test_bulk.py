"""Many hooks at once: `callboard apply` and `export` with a hook listener in one process."""

import json
import os
import time
import tomllib

import pytest

from callboard.actors.base.role import Ports
from callboard.actors.hooks.listener import HookListener
from callboard.actors.messages import ChangeHooks, FlushFailures, HookList, ListHooks
from callboard.actors.messages.bulk import GetQuotas, HooksPut, PutHooks, QuotasFound
from callboard.actors.messages.paths import FAILURE_CACHE, HOOK_LISTENER, HOOK_TABLE
from callboard.adapters.broker.protocol import Binding, Exchange, Queue, Topology
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.views import ALL, WEBHOOKS
from callboard.cli.hooks.declaring import carry_out, difference, exported
from callboard.cli.terminal.output import WrongUsage
from callboard.config.settings import ApiSettings, ModuleSettings, QuotaSettings
from callboard.webhooks.declarations.form import read_declarations
from callboard.webhooks.declarations.plan import PutHook, Removed
from callboard.webhooks.hooks.hook import disabling, with_changes

MANY = int(os.environ.get("CALLBOARD_TEST_HOOKS", "3000"))
SECRET = "whsec_" + "A" * 43 + "="


class System:
    """A hook listener on a real embedded store, and a client of it."""

    def __init__(self, world, servers, folder, **parts):
        self.world = world
        self.store = EmbeddedStore(folder / "store.sqlite3", views=ALL)
        self.store.ensure_database("webhooks")
        self.store.ensure_views("webhooks", WEBHOOKS)
        world.ports = Ports(servers.broker.connect, lambda *_a, **_k: self.store)
        shop = ModuleSettings(id="shop", exchange="shop", bindings=("#",), account_id="a")
        settings = world.settings(api=ApiSettings(events=False), modules=(shop,), **parts)
        self.table, self.cache = world.peer(HOOK_TABLE), world.peer(FAILURE_CACHE)
        self.client = world.peer("client")
        self.actor = world.start(HookListener, HOOK_LISTENER, settings, self.table, self.cache)
        world.pass_time(2)
        self.table.received.clear()

    def ask_actor(self, path, request, kind, timeout_s=10.0):
        assert path == HOOK_LISTENER
        self.client.received.clear()
        self.client.say(self.actor, request)
        got = lambda: self.client.received  # noqa: E731
        assert self.world.run(got, timeout_s + 60), "no answer"
        (answer,) = self.client.received
        assert isinstance(answer, kind), answer
        return answer

    def apply(self, text, folder=None, *, prune=False):
        """The plan, and what was refused."""
        changes = difference(self, read_declarations(tomllib.loads(text)), folder, prune=prune)
        return changes, carry_out(self, changes, lambda _count: None)

    def export(self, *accounts, step=lambda _count: None):
        return "".join(exported(self, accounts, step))

    def hook(self, id):
        return self.store.get("webhooks", id)

    def in_table(self):
        """What the table was told: ids put and removed."""
        changes = self.table.take(ChangeHooks)
        put = [hook.id for change in changes for hook in change.put]
        return put, [hook_id for change in changes for _account, hook_id in change.remove]


@pytest.fixture
def system(world, servers, tmp_path):
    made = System(world, servers, tmp_path)
    yield made
    made.store.close()


def hook(id, account="a", name=None, more=""):
    return (
        f'\n[[hooks]]\nid = "{id}"\naccount = "{account}"\nhook = "shop"\n'
        f'name = "{name or id}"\nuri = "https://x.example/{id}"\n{more}'
    )


def test_what_is_imported_is_exported_as_the_same_file(system):
    hooks = "".join(
        hook(f"{n:032x}", f"{n % 100:032x}", more='json = { custom_data = "{\\"a\\": null}" }\n')
        for n in sorted(range(MANY), key=lambda n: (n % 100, n))
    )
    text = f"# Hooks as `callboard export` wrote them; `callboard apply` makes them so.\n{hooks}"
    began = time.process_time()
    changes, refused = system.apply(text)
    took_s = time.process_time() - began
    assert (len(changes.added), refused) == (MANY, {})
    assert system.export() == text
    assert not difference(system, read_declarations(tomllib.loads(text)), None, prune=True)
    print(f"{MANY} hooks were read, compared and stored in {took_s:.1f} s of processor time")
    put, removed = system.in_table()
    assert (len(put), removed) == (MANY, [])
    assert system.cache.take(FlushFailures) == []


def test_an_export_tells_how_many_hooks_it_has_read(system):
    system.apply("".join(hook(f"h{n}", account) for n, account in enumerate("aab")))
    read = []
    assert system.export("a", step=read.append).count("[[hooks]]") == 2
    assert sum(read) == 2
    system.export(step=read.append)
    assert sum(read) == 2 + 3


def test_an_export_is_sorted_whatever_the_order_of_the_accounts(system):
    text = hook("h2", "a") + hook("h3", "a") + hook("h1", "b")
    system.apply(text)
    assert system.export("b", "a") == system.export("a", "b") == system.export()
    assert system.export("b", "a").endswith(text)


def test_changes_are_announced_and_in_effect(system, servers):
    system.apply(hook("h1") + hook("h2") + hook("h3"))
    system.in_table()
    system.cache.received.clear()
    changed = hook("h1", more="retries = 3\n") + hook("h2", more="enabled = false\n")
    system.world.pass_time(60)
    changes, refused = system.apply(changed, prune=True)
    assert refused == {}
    created, modified = (system.hook("h1")[f"pvt_{name}"] for name in ("created", "modified"))
    assert 60 <= modified - created < 120
    assert [c.members for c in changes.changed] == [("retries",), ("enabled",)]
    assert [r.id for r in changes.removed] == ["h3"]
    put, removed = system.in_table()
    assert (put, set(removed)) == (["h1"], {"h2", "h3"})
    assert system.hook("h3")["pvt_deleted"] is True
    assert {m.hook_id for m in system.cache.take(FlushFailures)} == {"h1", "h2", "h3"}
    system.world.pass_time(5)
    assert system.actor.actor.stats()["unpublished"] == 0
    changes, _refused = system.apply(changed + hook("h3"))
    assert [one.put.id for one in changes.added] == ["h3"]
    assert "pvt_deleted" not in system.hook("h3")


def test_each_change_is_announced_on_the_bus(world, servers, tmp_path):
    another = Topology(
        (Exchange("configuration"),), Queue("another"), (Binding("configuration", "#"),)
    )
    servers.broker.declare(another, "another")
    system = System(world, servers, tmp_path)

    def announced():
        world.pass_time(2)
        bodies = [json.loads(message.body) for message in servers.broker.held("another")]
        return sorted((body["ID"], body["Event-Name"], body["Database"]) for body in bodies)

    quotas = '\n[accounts."acme".quotas]\nhooks = 2\n'
    system.apply(quotas + hook("h1", "acme") + hook("h2", "acme"))
    system.apply(quotas + hook("h1", "acme", name="other"), prune=True)
    assert announced() == [
        ("configs_webhooks", "doc_edited", "account%2Fac%2Fme%2F"),
        ("h1", "doc_created", "webhooks"),
        ("h1", "doc_edited", "webhooks"),
        ("h2", "doc_created", "webhooks"),
        ("h2", "doc_deleted", "webhooks"),
    ]
    system.store.close()


def test_a_hook_that_was_disabled_for_its_failures_stays_disabled(system):
    system.apply(hook("h1"))
    disabled = with_changes(system.hook("h1"), disabling(system.hook("h1"), "too many"))
    system.store.save("webhooks", disabled)
    system.apply(hook("h1", more="retries = 3\n"))
    assert (system.hook("h1")["enabled"], system.hook("h1")["retries"]) == (False, 3)
    assert system.hook("h1")["pvt_disabled_message"] == "too many"
    system.apply(hook("h1", more="retries = 3\nenabled = true\n"))
    assert system.hook("h1")["enabled"] is True
    assert "pvt_disabled_message" not in system.hook("h1")


@pytest.mark.logs("secrets_key_made")
def test_secrets_come_by_reference_and_are_exported_by_it(system, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    (tmp_path / "two.txt").write_text(SECRET.replace("AAAA", "BBBB") + "\n")
    text = hook("h1", more='secrets = ["file:two.txt", "env:SHOP_SECRET"]\n')
    _changes, refused = system.apply(text, tmp_path)
    assert refused == {}
    first = system.hook("h1")["pvt_secrets"]
    assert SECRET not in str(first)
    assert system.export().endswith(text)
    assert not difference(system, read_declarations(tomllib.loads(text)), tmp_path, prune=True)
    system.apply(hook("h1", more='secrets = ["env:SHOP_SECRET"]\n'), tmp_path)
    (left,) = system.hook("h1")["pvt_secrets"]
    assert left == first[1]
    system.apply(hook("h1", more="secrets = []\n"), tmp_path)
    assert "pvt_secrets" not in system.hook("h1")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:ABSENT", "env:ABSENT: is not set"),
        ("file:PRESENT", "file:PRESENT: .* No such file"),
        ("PRESENT", "PRESENT: write env:NAME or file:PATH"),
    ],
)
def test_a_reference_to_no_secret_is_refused(system, tmp_path, monkeypatch, reference, said):
    monkeypatch.setenv("PRESENT", SECRET)
    with pytest.raises(WrongUsage, match=said):
        system.apply(hook("h1", more=f'secrets = ["{reference}"]\n'), tmp_path)
    assert system.hook("h1") is None


def test_quotas_are_set_before_the_hooks_that_need_them(world, servers, tmp_path):
    system = System(world, servers, tmp_path, quotas=QuotaSettings(hooks=1))
    text = '\n[accounts."acme".quotas]\nhooks = 2\n' + hook("h1", "acme") + hook("h2", "acme")
    _changes, refused = system.apply(text)
    assert refused == {}
    assert system.export("acme").endswith(text)
    _changes, refused = system.apply(text + hook("h3", "acme") + hook("h4", "other"))
    assert list(refused) == ["h3"]
    assert "quotas.hooks allows 2" in refused["h3"]
    assert system.hook("h4") is not None
    system.store.close()


def put(id="h1", rev=None, account="a", **members):
    public = {"name": id, "uri": "https://x.example/", "hook": "shop", **members}
    return PutHook(id, account, public, rev)


def test_what_is_refused_does_not_hold_up_the_others(system):
    system.apply(hook("h1"))
    rev = system.hook("h1")["_rev"]
    request = PutHooks(
        (
            put("h1", "9-x"),
            put("h2", rev),
            put("h3", hook="nonsense"),
            put("h4", uri="ftp://x/"),
            put("h5"),
        ),
        (Removed("a", "h9", "1-a", "n"),),
    )
    answer = system.ask_actor(HOOK_LISTENER, request, HooksPut)
    assert answer.done == ("h5",)
    assert set(answer.refused) == {"h1", "h2", "h3", "h4", "h9"}
    assert "meanwhile" in answer.refused["h1"]
    others = put("h1", name="new"), put("h5", account="b")
    again = system.ask_actor(HOOK_LISTENER, PutHooks(others), HooksPut)
    assert "already" in again.refused["h1"]
    assert "taken" in again.refused["h5"]


@pytest.mark.logs("secrets_key_made")
def test_a_request_that_comes_twice_is_carried_out_once(system, tmp_path, monkeypatch):
    """Its reply was lost, because the actor was restarted: 500 of 100,000 hooks were refused."""
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    system.apply(hook("edited") + hook("gone"))
    text = hook("new", more='secrets = ["env:SHOP_SECRET"]\n') + hook("edited", name="otherwise")
    changes = difference(system, read_declarations(tomllib.loads(text)), tmp_path, prune=True)
    puts = (*(one.put for one in changes.added), *(one.put for one in changes.changed))
    request = PutHooks(puts, tuple(changes.removed))
    first = system.ask_actor(HOOK_LISTENER, request, HooksPut)
    before = {id: system.hook(id) for id in ("new", "edited", "gone")}
    second = system.ask_actor(HOOK_LISTENER, request, HooksPut)
    assert sorted(first.done) == sorted(second.done) == ["edited", "gone", "new"]
    assert (first.refused, second.refused) == ({}, {})
    assert {id: system.hook(id) for id in before} == before


@pytest.mark.logs("secrets_key_made")
def test_other_clients_see_no_secrets(system, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    system.apply(hook("h1", more='secrets = ["env:SHOP_SECRET"]\n'), tmp_path)
    (plain,) = system.ask_actor(HOOK_LISTENER, ListHooks(), HookList).documents
    assert "pvt_secrets" not in plain
    (shown,) = system.ask_actor(HOOK_LISTENER, ListHooks(secrets=True), HookList).documents
    assert shown["pvt_secrets"][0]["encrypted"] == ""
    found = system.ask_actor(HOOK_LISTENER, GetQuotas(("a",)), QuotasFound)
    assert found == QuotasFound({})
