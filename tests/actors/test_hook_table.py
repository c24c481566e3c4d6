"""What the hook table tells its responders: each hook once, in pages, and then the changes."""

import pickle

import pytest
from attrs import astuple, evolve

from callboard.actors.hooks.table import HookTable
from callboard.actors.messages import (
    Applied,
    Barrier,
    ChangeHooks,
    FindHooks,
    FindOrdered,
    HookPage,
    HooksChanged,
    LoadHooks,
    NextPage,
    Subscribe,
)
from callboard.actors.messages.paths import RETRY_QUEUE
from callboard.supervision import Peer
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.options import Options

LISTENER = "listener"


class Table(HookTable):
    """A table whose messages stay here, by addressee."""

    def __init__(self):
        super().__init__()
        self.sent = {}
        self.numbers = iter(range(1000))
        self.begin(None)

    def send(self, address, message):
        self.sent.setdefault(address, []).append(message)

    def load(self, *hooks, last=True):
        self.receiveMsg_LoadHooks(LoadHooks(1, next(self.numbers), hooks, last), LISTENER)

    def change(self, **change):
        self.receiveMsg_ChangeHooks(ChangeHooks(1, next(self.numbers), **change), LISTENER)

    def subscribe(self, responder, *events):
        self.receiveMsg_Subscribe(Subscribe(events, 7, responder, 1), responder)

    def next_page(self, responder):
        self.receiveMsg_NextPage(NextPage(), responder)

    def heard(self, responder):
        return self.sent.pop(responder, [])


def hook(number, event="object", uri="https://a.example"):
    return Hook(id=f"h{number}", account_id="a", uri=uri, event=event)


@pytest.fixture
def table():
    return Table()


def test_hooks_are_sent_once_all_are_there(table):
    table.subscribe("r", "object", "all")
    table.load(hook(1), hook(2, "sms"), last=False)
    table.change(put=(hook(3, "all"),))
    assert table.heard("r") == []
    table.load(hook(4))
    assert table.heard("r") == [HookPage(7, 0, (hook(1), hook(3, "all"), hook(4)), last=True)]


@pytest.mark.parametrize("stream", [7, 6])
def test_a_subscription_that_comes_again_or_late_changes_nothing(table, stream):
    table.load(hook(1))
    table.subscribe("r", "object")
    table.receiveMsg_Subscribe(Subscribe(("object",), stream, "r", 1), "r")
    table.change(put=(hook(2),))
    assert table.heard("r") == [
        HookPage(7, 0, (hook(1),), last=True),
        HooksChanged(7, 1, (hook(2),), ()),
    ]


def test_a_page_follows_when_it_is_asked_for(table):
    hooks = [hook(number) for number in range(1000 + 1)]
    table.load(*hooks)
    table.subscribe("r", "object")
    assert table.heard("r") == [HookPage(7, 0, tuple(hooks[:1000]), last=False)]
    table.change(put=(hook(1000, uri="https://new.example"),), remove=(("a", "h0"),))
    table.next_page("r")
    changed = hook(1000, uri="https://new.example")
    assert table.heard("r") == [
        HooksChanged(7, 1, (changed,), (("a", "h0"),)),
        HookPage(7, 2, (changed,), last=True),
    ]


def test_a_change_is_told_to_those_whom_it_concerns(table):
    table.load(hook(1, "object"))
    for event in ("object", "sms", "mms"):
        table.subscribe(event, event)
        table.heard(event)
    table.change(put=(hook(1, "sms"),))
    assert table.heard("object") == [HooksChanged(7, 1, (), (("a", "h1"),))]
    assert table.heard("sms") == [HooksChanged(7, 1, (hook(1, "sms"),), ())]
    assert table.heard("mms") == []


def test_a_hook_that_did_not_change_is_not_told_again(table):
    table.load(hook(1))
    table.subscribe("r", "object")
    table.heard("r")
    table.change(put=(hook(1),))
    assert table.heard("r") == []


def test_a_second_load_tells_what_is_new_and_what_is_gone(table):
    table.load(hook(1), hook(2))
    table.subscribe("r", "object")
    table.heard("r")
    table.numbers = iter(range(100))
    table.receiveMsg_LoadHooks(LoadHooks(2, 0, (hook(2), hook(3)), last=True), LISTENER)
    assert table.heard("r") == [
        HooksChanged(7, 1, (hook(3),), ()),
        HooksChanged(7, 2, (), (("a", "h1"),)),
    ]


def test_a_responder_that_subscribes_anew_is_sent_everything_again(table):
    table.load(hook(1))
    table.subscribe("r", "object")
    table.heard("r")
    table.receiveMsg_Subscribe(Subscribe(("object",), 8, "r", 1), "r")
    assert table.heard("r") == [HookPage(8, 0, (hook(1),), last=True)]


def test_a_removed_hook_is_no_news_to_those_who_never_had_it(table):
    table.load(hook(1, "object"), hook(2, "sms"))
    for event in ("object", "sms"):
        table.subscribe(event, event)
        table.heard(event)
    table.change(remove=(("a", "h1"), ("a", "unknown")))
    assert table.heard("object") == [HooksChanged(7, 1, (), (("a", "h1"),))]
    assert table.heard("sms") == []


@pytest.fixture
def peers(table):
    """A table with a retry queue, two deliverers and a responder."""
    paths = RETRY_QUEUE, "deliveries/deliverer-1", "deliveries/deliverer-2", "responders/object"
    table.peers = {path: Peer(path, 1, path, 0) for path in paths}
    table.load(hook(1), hook(2))
    table.subscribe("responders/object", "object")
    table.sent.clear()
    return table


def barrier(table, ticket=9):
    table.receiveMsg_Barrier(Barrier(1, next(table.numbers), ticket), LISTENER)


def applied(table, *senders, ticket=9):
    for sender in senders:
        table.receiveMsg_Applied(Applied(ticket), sender)


def test_the_retry_queue_finds_hooks_once_all_are_there(table):
    ask = FindHooks(3, (("a", "h1"), ("b", "h1"), ("a", "h9")))
    table.receiveMsg_FindHooks(ask, "q")
    table.load(hook(1), last=False)
    table.receiveMsg_FindHooks(ask, "q")
    assert [found.hooks for found in table.heard("q")] == [None, None]
    table.load(hook(2))
    table.receiveMsg_FindHooks(ask, "q")
    (found,) = table.heard("q")
    assert (found.ask, found.hooks) == (3, (hook(1),))


@pytest.mark.parametrize(
    "change",
    [
        {"put": (hook(1, uri="https://new.example"),)},
        {"put": (hook(1, "sms"),)},
        {"remove": (("a", "h1"),)},
    ],
)
def test_those_with_waiting_deliveries_hear_of_changes_and_answers_are_newer(peers, change):
    peers.receiveMsg_FindHooks(FindHooks(1, ()), "q")
    (before,) = peers.heard("q")
    peers.change(**change)
    for path in (RETRY_QUEUE, "deliveries/deliverer-1", "deliveries/deliverer-2"):
        (outdated,) = peers.heard(path)
        assert (outdated.keys, outdated.ticket) == ((("a", "h1"),), None)
        assert outdated.change > before.change
    peers.receiveMsg_FindHooks(FindHooks(1, ()), "q")
    assert peers.heard("q")[0].change == outdated.change


def test_new_and_unchanged_hooks_make_nothing_outdated(peers):
    peers.change(put=(hook(3), hook(1)))
    peers.change(remove=(("a", "h9"),))
    assert peers.heard("deliveries/deliverer-1") == []


def test_a_change_is_applied_when_the_deliverers_hold_nothing_of_before(peers):
    """A responder may have sent them deliveries just before it heard of the change."""
    peers.change(remove=(("a", "h1"),))
    peers.sent.clear()
    barrier(peers)
    assert peers.heard("deliveries/deliverer-1") == []
    applied(peers, "responders/object")
    (outdated,) = peers.heard("deliveries/deliverer-1")
    assert (outdated.keys, outdated.ticket) == ((("a", "h1"),), 9)
    assert peers.heard(RETRY_QUEUE) == []
    applied(peers, "deliveries/deliverer-1")
    assert peers.heard(LISTENER) == []
    applied(peers, "deliveries/deliverer-2")
    assert peers.heard(LISTENER) == [Applied(9)]
    barrier(peers, 10)
    applied(peers, "responders/object", ticket=10)
    assert [m.keys for m in peers.heard("deliveries/deliverer-2")] == [(("a", "h1"),), ()]


def test_a_deliverer_that_died_is_not_waited_for(peers):
    barrier(peers)
    applied(peers, "responders/object", "deliveries/deliverer-1")
    before = peers.peers
    peers.peers = {path: peer for path, peer in before.items() if not path.endswith("-2")}
    peers.on_peers(before)
    assert peers.heard(LISTENER) == [Applied(9)]


@pytest.mark.parametrize("subscribes", ["late", "before any peer is known", "in time"])
def test_a_responder_that_was_replaced_is_not_waited_for(table, subscribes):
    """Its subscription can arrive after its death is known: simulated run 200412."""
    path = "responders/object"
    table.load(hook(1))
    dead, successor = (Peer(path, n, f"{path} {n}", 0) for n in (3, 4))

    def up(*peers):
        before, table.peers = table.peers, {peer.path: peer for peer in peers}
        table.on_peers(before)

    def subscribe(peer):
        message = Subscribe(("object",), 7, path, peer.incarnation)
        table.receiveMsg_Subscribe(message, peer.address)

    if subscribes != "late":
        if subscribes == "in time":
            up(dead)
        subscribe(dead)
    up(successor)
    if subscribes == "late":
        subscribe(dead)
    subscribe(successor)
    table.sent.clear()
    barrier(table)
    assert table.heard(dead.address) == []
    assert table.heard(successor.address) == [Barrier(7, 1, 9)]
    applied(table, successor.address)
    assert table.heard(LISTENER) == [Applied(9)]


def test_a_responder_that_subscribes_before_it_is_a_peer_is_waited_for(table):
    table.load(hook(1))
    table.peers = {"r": Peer("r", 1, "dead", 0)}
    table.receiveMsg_Subscribe(Subscribe(("object",), 7, "r", 2), "r")
    barrier(table)
    assert table.heard(LISTENER)[1:] == []
    applied(table, "r")
    assert table.heard(LISTENER) == [Applied(9)]


def test_the_outdated_hooks_remembered_are_bounded(peers):
    """10,000 keys; those with waiting deliveries heard of each at the change."""
    peers.change(put=tuple(hook(n) for n in range(3, 10_004)))
    peers.change(remove=tuple(("a", f"h{n}") for n in range(1, 10_004)))
    assert [len(m.keys) for m in peers.heard(RETRY_QUEUE)] == [10_000, 3]
    peers.sent.clear()
    barrier(peers)
    applied(peers, "responders/object")
    (outdated,) = peers.heard("deliveries/deliverer-1")
    assert len(outdated.keys) == 3


def test_no_message_grows_with_the_size_of_the_hooks(table):
    """105 hooks were one message; of 1 MB each, it was never sent."""
    large = [hook(n, "object") for n in range(105)]
    large = [evolve(one, custom_data={"n": f"{one.id} {'x' * 100_000}"}) for one in large]
    table.subscribe("r", "object")
    table.load(*large)
    pages = table.heard("r")
    while not pages[-1].last:
        table.next_page("r")
        pages += table.heard("r")
    assert [one for page in pages for one in page.hooks] == large
    assert max(len(pickle.dumps(page)) for page in pages) < 1_200_000
    table.change(put=tuple(evolve(one, uri="https://new.example") for one in large))
    table.change(remove=tuple(("a", one.id) for one in large))
    changes = table.heard("r")
    assert max(len(pickle.dumps(change)) for change in changes) < 1_200_000
    assert [one.uri for change in changes for one in change.put] == ["https://new.example"] * 105
    table.load(*large)
    left, found = tuple(("a", one.id) for one in large), []
    while left:
        table.receiveMsg_FindHooks(FindHooks(1, left), "q")
        (answer,) = table.heard("q")
        assert len(pickle.dumps(answer)) < 1_200_000
        found += answer.hooks
        left = answer.left
    assert found == large
    removed = [key for change in changes for key in change.removed]
    assert sorted(removed) == sorted(("a", one.id) for one in large)


@pytest.mark.parametrize(("spare", "left"), [(0, 1), (1, 0)])
def test_a_message_ends_with_the_hook_that_reaches_a_million_bytes(table, spare, left):
    """A hook counts as 200 bytes and the length of its uri."""
    hooks = [hook(1, uri="." * (1_000_000 - 200 - spare)), hook(2)]
    table.load(*hooks)
    table.subscribe("r", "object")
    (page,) = table.heard("r")
    assert page.hooks == tuple(hooks[: 2 - left])
    table.receiveMsg_FindHooks(FindHooks(1, tuple(("a", one.id) for one in hooks)), "q")
    (found,) = table.heard("q")
    assert (found.hooks, len(found.left)) == (tuple(hooks[: 2 - left]), left)


def test_the_ordered_and_the_paused_hooks_are_found_once_all_are_there(table):
    def found():
        table.receiveMsg_FindOrdered(FindOrdered(), "q")
        (answer,) = table.heard("q")
        return answer.ordered_queues

    ordered, paused = Options(ordered=True), Options(paused=True)
    table.load(hook(1), evolve(hook(2), options=ordered), last=False)
    assert found() is None
    table.load(evolve(hook(3), options=paused))
    assert found() == ((("a", "h2"), False), (("a", "h3"), True))
    table.change(put=(hook(2), evolve(hook(1), options=paused)), remove=(("a", "h3"),))
    assert found() == ((("a", "h1"), True),)


def test_an_account_is_removed_with_its_hooks_and_no_others(table):
    others = evolve(hook(2), account_id="b")
    table.load(hook(1), others, hook(3))
    table.subscribe("r", "object")
    table.heard("r")
    table.change(remove_account="a")
    ((_stream, _number, put, removed),) = map(astuple, table.heard("r"))
    assert (put, set(removed)) == ((), {("a", "h1"), ("a", "h3")})


def test_a_page_too_many_is_not_sent(table):
    table.receiveMsg_NextPage(NextPage(), "stranger")
    table.load(hook(1))
    table.subscribe("r", "object")
    assert len(table.heard("r")) == 1
    table.next_page("r")
    assert table.heard("r") == table.heard("stranger") == []


def test_a_hook_that_changes_while_pages_are_sent_is_sent_as_it_is_then(table):
    hooks = [hook(number) for number in range(1000 + 2)]
    table.load(*hooks)
    table.subscribe("r", "object")
    table.heard("r")
    table.change(put=(hook(1000, "sms"),))
    table.heard("r")
    table.next_page("r")
    (page,) = table.heard("r")
    assert [one.id for one in page.hooks] == [f"h{1000 + 1}"]
