"""The hook table alone: listings of the hooks in memory, page by page."""

import pytest

from callboard.actors.hooks.table import HookTable
from callboard.actors.messages import (
    Applied,
    Barrier,
    ChangeHooks,
    ListTable,
    LoadHooks,
    Subscribe,
    TableListed,
)
from callboard.actors.messages.paths import HOOK_LISTENER, HOOK_TABLE
from callboard.admin import ConfiguredHook
from callboard.webhooks.hooks.hook import Hook


def hook(id, account="a"):
    return Hook(id, account, "https://x.example/", "shop", verb="put", max_attempts=3)


class Table:
    """A table whose listener and client do what the test says."""

    def __init__(self, world, settings):
        self.world, self.numbers = world, iter(range(100))
        self.listener, self.client = world.peer(HOOK_LISTENER), world.peer("maintenance")
        self.actor = world.start(HookTable, HOOK_TABLE, settings, self.listener)

    def load(self, *hooks):
        self.listener.say(self.actor, LoadHooks(1, next(self.numbers), hooks, last=True))

    def change(self, **change):
        self.listener.say(self.actor, ChangeHooks(1, next(self.numbers), **change))

    def page(self, after=None, account=None, limit=10):
        """The hooks of a page, and whether there are more."""
        self.client.say(self.actor, ListTable(7, account, after, limit))
        self.world.pass_time(0.01)
        (found,) = self.client.take(TableListed)
        assert found.ask == 7
        return list(found.hooks), found.more

    def ids(self, *arguments, **options):
        hooks, more = self.page(*arguments, **options)
        return [(each.account_id, each.hook_id) for each in hooks], more


@pytest.fixture
def table(world, settings):
    return Table(world, settings)


def test_hooks_are_listed_by_account_and_id(table):
    table.load(hook("h2"), hook("h1", "b"), hook("h1"))
    assert table.ids(limit=2) == ([("a", "h1"), ("a", "h2")], True)
    assert table.ids(("a", "h2"), limit=2) == ([("b", "h1")], False)
    assert table.ids(limit=3) == ([("a", "h1"), ("a", "h2"), ("b", "h1")], False)
    shown = ConfiguredHook("b", "h1", "https://x.example/", "put", "shop", 3)
    assert table.page(account="b") == ([shown], False)


def test_a_listing_is_kept_for_a_minute_after_its_last_page(table):
    table.load(hook("h1"), hook("h3"))
    assert table.ids(limit=1) == ([("a", "h1")], True)
    table.change(put=(hook("h2"),), remove=(("a", "h3"),))
    for _page in range(2):
        table.world.pass_time(50)
        assert table.ids(("a", "h1")) == ([], False)
    table.world.pass_time(60.5)
    assert table.ids(("a", "h1")) == ([("a", "h2")], False)
    table.change(put=(hook("h4"),))
    assert table.ids(("a", "h1")) == ([("a", "h2")], False)
    assert table.ids() == ([("a", "h1"), ("a", "h2"), ("a", "h4")], False)


def test_a_listing_is_not_dropped_before_its_minute_is_over(table):
    table.load(hook("h1"), hook("h3"))
    assert table.ids(limit=1) == ([("a", "h1")], True)
    table.world.pass_time(0.5)
    assert table.ids(("a", "h1")) == ([("a", "h3")], False)
    table.change(put=(hook("h2"),))
    table.world.pass_time(59.9)
    assert table.ids(("a", "h1")) == ([("a", "h3")], False)


def test_a_barrier_without_responders_and_deliverers_is_passed_at_once(table):
    table.listener.say(table.actor, Barrier(1, next(table.numbers), 7))
    table.world.pass_time(0.01)
    assert table.listener.take(Applied) == [Applied(7)]


def test_a_barrier_waits_for_no_responder_that_is_gone(table):
    responder = table.world.peer("responders/shop")
    table.world.tell_peers(table.actor, table.listener, responder)
    table.load(hook("h1"))
    responder.say(table.actor, Subscribe(("shop",), 1, responder.path, responder.incarnation))
    table.listener.say(table.actor, Barrier(1, next(table.numbers), 7))
    table.world.pass_time(1)
    assert table.listener.take(Applied) == []
    table.world.tell_peers(table.actor, table.listener)
    table.world.pass_time(0.01)
    assert table.listener.take(Applied) == [Applied(7)]
