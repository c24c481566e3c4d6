"""Holds the hooks in memory and sends them to the responders; outlives its listener."""

import itertools
import time
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from attrs import Factory, define
from thespian.actors import ActorAddress

from callboard.actors.base.resequencer import Resequencer
from callboard.actors.base.role import Role, Setup
from callboard.actors.messages import (
    Applied,
    Barrier,
    ChangeHooks,
    FindHooks,
    FindOrdered,
    HookPage,
    HooksChanged,
    HooksFound,
    HooksLoaded,
    HooksOutdated,
    ListTable,
    LoadHooks,
    NextPage,
    OrderedFound,
    Subscribe,
    TableListed,
)
from callboard.actors.messages.paths import RETRY_QUEUE, is_deliverer
from callboard.admin import ConfiguredHook
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.outbox import BATCH_BYTES, cut
from callboard.webhooks.hooks.failure_window import HookKey
from callboard.webhooks.hooks.hook import Hook, size_of
from callboard.webhooks.hooks.hook_map import HookMap, key_of
from callboard.webhooks.hooks.listing import HookListing
from callboard.webhooks.metrics.catalog import HOOKS, HOOKS_LOADED

PAGE_HOOKS = 1000
PAGE_KEYS = 10_000
"""The most removed hooks in one message."""
LISTING_S = 60.0
"""The sorted keys for listings are kept for this time after the last page was requested."""


@define
class _Subscriber:
    """A responder, and the hooks that it has yet to receive; None: it has received all.

    Until all hooks are loaded it receives no changes, because its pages will include them.
    """

    address: ActorAddress
    path: str
    incarnation: int
    stream: int
    events: frozenset[str]
    numbers: Iterator[int] = Factory(itertools.count)
    pages: Iterator[Hook] | None = None


class HookTable(Role):
    """Holds every hook that may fire, by (account, hook) (Kazoo: kazoo_etsmgr_srv's table).

    If the listener dies, the hooks stay. The load of its successor replaces them one by one, so
    that no hook is missing from the responders meanwhile.
    """

    def begin(self, setup: Setup) -> None:
        """Begin empty; responders wait until the listener has loaded the hooks."""
        self._hooks = HookMap()
        self._ordered: dict[HookKey, bool] = {}
        self._seen: set[HookKey] | None = None
        self._from_listener: Resequencer[LoadHooks | ChangeHooks | Barrier] = Resequencer()
        self._barriers: dict[int, tuple[ActorAddress, set[str]]] = {}
        # Those since the last barrier, the latest PAGE_KEYS at most.
        self._outdated: set[HookKey] = set()
        self._clearing: dict[int, tuple[ActorAddress, set[str]]] = {}
        # Increases over restarts, too.
        self._change_number = time.time_ns()
        self._loaded = False
        self._subscribers: dict[str, _Subscriber] = {}
        self._listing: HookListing | None = None

    def stats(self) -> Mapping[str, Any]:
        """The numbers of hooks and of responders."""
        return {
            "hooks": len(self._hooks),
            "loaded": self._loaded,
            "subscribers": len(self._subscribers),
        }

    def measure(self) -> None:
        """Count hooks that may fire."""
        self.tally.set(HOOKS, len(self._hooks))
        self.tally.set(HOOKS_LOADED, int(self._loaded), self.path)

    # From the listener

    def receiveMsg_LoadHooks(self, message: LoadHooks, sender: ActorAddress) -> None:
        """A page of the stored hooks."""
        self._take_in(message, sender)

    def receiveMsg_ChangeHooks(self, message: ChangeHooks, sender: ActorAddress) -> None:
        """Hooks were created, edited, disabled or deleted."""
        self._take_in(message, sender)

    def receiveMsg_Barrier(self, message: Barrier, sender: ActorAddress) -> None:
        """The listener asks for a message once its earlier changes are in effect."""
        self._take_in(message, sender)

    def _take_in(self, message: LoadHooks | ChangeHooks | Barrier, sender: ActorAddress) -> None:
        for due in self._from_listener.take(message.stream, message.number, message):
            if isinstance(due, LoadHooks):
                self._load_page(due)
                self.send(sender, HooksLoaded(due.stream, len(self._hooks)))
            elif isinstance(due, Barrier):
                self._barriers[due.ticket] = sender, set(self._subscribers)
                for subscriber in self._subscribers.values():
                    self._send_in_order(subscriber, Barrier, due.ticket)
                self._report_applied()
            else:
                self._apply(due)

    def _load_page(self, message: LoadHooks) -> None:
        """Put a page of hooks; after the last page, remove hooks that were in none."""
        if message.number == 0:
            # Nothing can be missing from an empty table, so a million keys need no memory.
            self._seen = set() if self._hooks else None
        if self._seen is not None:
            self._seen.update(map(key_of, message.hooks))
        self._change(message.hooks, ())
        if message.last:
            if self._seen is not None:
                keys = map(key_of, self._hooks)
                self._change((), tuple(key for key in keys if key not in self._seen))
                self._seen = None
            self.freeze()
            if not self._loaded:
                self._loaded = True
                for subscriber in self._subscribers.values():
                    self._begin_pages(subscriber)

    def _apply(self, message: ChangeHooks) -> None:
        removed = list(message.remove)
        if message.remove_account is not None:
            account_id = message.remove_account
            removed += [key_of(hook) for hook in self._hooks if hook.account_id == account_id]
        if self._seen is not None:
            self._seen.update(map(key_of, message.put))
        self._change(message.put, tuple(removed))

    def _change(self, put: tuple[Hook, ...], removed: tuple[HookKey, ...]) -> None:
        keys = set(removed)
        put = tuple(h for h in put if key_of(h) not in keys and self._hooks.get(key_of(h)) != h)
        keys.update(map(key_of, put))
        old = [hook for hook in map(self._hooks.get, keys) if hook is not None]
        self._change_number += 1
        for outdated in cut(map(key_of, old), PAGE_KEYS, len):
            if len(self._outdated) + len(outdated) > PAGE_KEYS:
                self._outdated.clear()
            self._outdated.update(outdated)
            self._report_outdated(outdated)
        for key in removed:
            self._hooks.remove(key)
        for hook in old:
            self._ordered.pop(key_of(hook), None)
        for hook in put:
            self._hooks.put(hook)
            if hook.options.in_order:
                self._ordered[key_of(hook)] = hook.options.paused
        for subscriber in self._subscribers.values() if self._loaded else ():
            events = subscriber.events
            wanted = tuple(hook for hook in put if hook.event in events)
            # Includes hooks whose event has changed to one that the subscriber does not want.
            kept = set(map(key_of, wanted))
            gone = tuple(key_of(h) for h in old if h.event in events and key_of(h) not in kept)
            puts, removes = cut(wanted, PAGE_HOOKS, size_of), cut(gone, PAGE_KEYS, len)
            for pages in zip_longest(puts, removes, fillvalue=()):
                self._send_in_order(subscriber, HooksChanged, *pages)

    def _send_in_order(
        self, subscriber: _Subscriber, kind: type[HooksChanged | HookPage | Barrier], *facts: Any
    ) -> None:
        number = next(subscriber.numbers)
        self.send(subscriber.address, kind(subscriber.stream, number, *facts))

    # Deliveries that wait

    def receiveMsg_FindHooks(self, message: FindHooks, sender: ActorAddress) -> None:
        """Send the present state of some hooks."""
        if not self._loaded:
            self.send(sender, HooksFound(message.ask, None))
            return
        hooks: list[Hook] = []
        bytes_left = BATCH_BYTES
        keys = iter(message.keys)
        for key in keys:
            hook = self._hooks.get(key)
            if hook is not None:
                hooks.append(hook)
                bytes_left -= size_of(hook)
                if bytes_left <= 0:
                    break
        found = HooksFound(message.ask, tuple(hooks), self._change_number, tuple(keys))
        self.send(sender, found)

    def receiveMsg_FindOrdered(self, _message: FindOrdered, sender: ActorAddress) -> None:
        """Send which hooks are ordered or paused."""
        self.send(sender, OrderedFound(tuple(self._ordered.items()) if self._loaded else None))

    def _report_outdated(self, keys: tuple[HookKey, ...], ticket: int | None = None) -> set[str]:
        """Notify the actors in which deliveries wait; returns the addresses of the deliverers.

        The retry queue is notified of changes only, and not asked to respond.
        """
        deliverers = {str(p.address) for path, p in self.peers.items() if is_deliverer(path)}
        for path, peer in self.peers.items():
            if is_deliverer(path) or (path == RETRY_QUEUE and ticket is None):
                self.send(peer.address, HooksOutdated(self._change_number, keys, ticket))
        return deliverers

    # Responders

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Remove responders that are gone; their successors may have subscribed already."""
        for path, peer in before.items():
            if self.peers.get(path) != peer:
                self._subscribers.pop(str(peer.address), None)
        # Those that subscribed after their death was known, or that never were peers.
        for address, each in list(self._subscribers.items()):
            if self._is_replaced(each):
                del self._subscribers[address]
        self._report_applied()

    def _is_replaced(self, responder: _Subscriber | Subscribe) -> bool:
        """Whether a later incarnation is up: no barrier is to wait for the one before."""
        peer = self.peers.get(responder.path)
        return peer is not None and peer.incarnation > responder.incarnation

    def receiveMsg_Applied(self, message: Applied, sender: ActorAddress) -> None:
        """A responder has passed a barrier, or a deliverer holds nothing outdated any more."""
        for tickets in (self._barriers, self._clearing):
            if message.ticket in tickets:
                tickets[message.ticket][1].discard(str(sender))
        self._report_applied()

    def _report_applied(self) -> None:
        """Clear the deliverers of outdated deliveries once all responders have passed a barrier.

        Until then a responder may send them deliveries for the hooks as they were.
        """
        for ticket, (listener, waiting) in list(self._barriers.items()):
            if not waiting & self._subscribers.keys():
                del self._barriers[ticket]
                outdated, self._outdated = tuple(self._outdated), set()
                self._clearing[ticket] = listener, self._report_outdated(outdated, ticket)
        self._report_cleared()

    def _report_cleared(self) -> None:
        """Notify the listener of barriers that all deliverers still up have passed, too."""
        up = {str(peer.address) for peer in self.peers.values()}
        for ticket, (listener, waiting) in list(self._clearing.items()):
            if not waiting & up:
                del self._clearing[ticket]
                self.send(listener, Applied(ticket))

    def receiveMsg_Subscribe(self, message: Subscribe, sender: ActorAddress) -> None:
        """Send a responder its hooks page by page, and then every change.

        Not for a repeated message, nor for one that a later one has overtaken: the responder takes
        nothing of an earlier stream, nor the same numbers again. Nor for the message of a responder
        that has died and been replaced.
        """
        known = self._subscribers.get(str(sender))
        if (known is not None and message.stream <= known.stream) or self._is_replaced(message):
            return
        subscriber = _Subscriber(
            sender, message.path, message.incarnation, message.stream, frozenset(message.events)
        )
        self._subscribers[str(sender)] = subscriber
        if self._loaded:
            self._begin_pages(subscriber)

    def receiveMsg_NextPage(self, _message: NextPage, sender: ActorAddress) -> None:
        """Send a responder its next page."""
        subscriber = self._subscribers.get(str(sender))
        if subscriber is not None and subscriber.pages is not None:
            self._send_page(subscriber)

    def _begin_pages(self, subscriber: _Subscriber) -> None:
        events = subscriber.events
        subscriber.pages = iter([hook for hook in self._hooks if hook.event in events])
        self._send_page(subscriber)

    def _send_page(self, subscriber: _Subscriber) -> None:
        assert subscriber.pages is not None
        hooks: list[Hook] = []
        last = True
        bytes_left = BATCH_BYTES
        for one in subscriber.pages:
            # Look it up now: changes since paging began have been sent already.
            hook = self._hooks.get(key_of(one))
            if hook is not None and hook.event in subscriber.events:
                hooks.append(hook)
                bytes_left -= size_of(hook)
                if len(hooks) == PAGE_HOOKS or bytes_left <= 0:
                    last = False
                    break
        self._send_in_order(subscriber, HookPage, tuple(hooks), last)
        if last:
            subscriber.pages = None

    # Requests of maintenance

    def receiveMsg_ListTable(self, message: ListTable, sender: ActorAddress) -> None:
        """Send a page of the hooks; the first page starts a new listing."""
        if self._listing is None:
            self.after(LISTING_S, self._forget_listing)
        if self._listing is None or message.after is None:
            self._listing = HookListing(map(key_of, self._hooks))
        self._listing_used = time.monotonic()
        hooks: list[ConfiguredHook] = []
        for key in self._listing.after(message.after, message.account_id):
            hook = self._hooks.get(key)
            if hook is not None and len(hooks) == message.limit:
                self.send(sender, TableListed(message.ask, tuple(hooks), more=True))
                return
            if hook is not None:
                hooks.append(_configured(hook))
        self.send(sender, TableListed(message.ask, tuple(hooks), more=False))

    def _forget_listing(self) -> None:
        """Drop the listing if it was not used for LISTING_S."""
        left_s = self._listing_used + LISTING_S - time.monotonic()
        if left_s > 0:
            self.after(left_s, self._forget_listing)
        else:
            self._listing = None


def _configured(hook: Hook) -> ConfiguredHook:
    return ConfiguredHook(
        hook.account_id, hook.id, hook.uri, hook.verb, hook.event, hook.max_attempts
    )
