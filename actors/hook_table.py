"""The owner of the hooks in memory: it outlives its listener and feeds the responders."""

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define
from thespian.actors import ActorAddress

from callboard.actors.messages import (
    ChangeHooks,
    HookPage,
    HooksChanged,
    HooksLoaded,
    LoadHooks,
    NextPage,
    Subscribe,
)
from callboard.actors.role import Role, Setup
from callboard.supervision import Peer
from callboard.webhooks.hook import Hook

PAGE_HOOKS = 500

Key = tuple[str, str]


@define
class _Subscriber:
    """A responder, and the pages it has still to be sent; None: it has them all."""

    address: ActorAddress
    events: frozenset[str]
    pages: Iterator[Key] | None = None


class HookTable(Role):
    """Holds every hook that may fire, by (account, hook) (Kazoo: kazoo_etsmgr_srv's table).

    The listener fills it and may die and come back: the hooks stay, and the new listener's load
    replaces them one by one, so that responders never see fewer than there are.
    """

    def begin(self, setup: Setup) -> None:
        """Empty; responders wait until the listener has loaded the hooks."""
        self._hooks: dict[Key, Hook] = {}
        self._seen: set[Key] | None = None
        self._load = 0
        self._loaded = False
        self._subscribers: dict[str, _Subscriber] = {}

    def stats(self) -> Mapping[str, Any]:
        """How many hooks, and for how many responders."""
        return {
            "hooks": len(self._hooks),
            "loaded": self._loaded,
            "subscribers": len(self._subscribers),
        }

    # The listener's side

    def receiveMsg_LoadHooks(self, message: LoadHooks, sender: ActorAddress) -> None:
        """A page of the stored hooks; at the end, whatever was not mentioned goes."""
        if message.first:
            self._load, self._seen = message.load, set()
        if message.load != self._load or self._seen is None:
            return
        self._seen.update(_key(hook) for hook in message.hooks)
        self._change(message.hooks, ())
        if message.last:
            self._change((), tuple(key for key in self._hooks if key not in self._seen))
            self._seen = None
            if not self._loaded:
                self._loaded = True
                for subscriber in self._subscribers.values():
                    self._begin_pages(subscriber)
        self.send(sender, HooksLoaded(message.load, len(self._hooks)))

    def receiveMsg_ChangeHooks(self, message: ChangeHooks, _sender: ActorAddress) -> None:
        """Hooks were created, edited, disabled or deleted."""
        removed = list(message.remove)
        if message.remove_account is not None:
            removed += [key for key in self._hooks if key[0] == message.remove_account]
        if self._seen is not None:
            self._seen.update(_key(hook) for hook in message.put)
        self._change(message.put, tuple(removed))

    def _change(self, put: tuple[Hook, ...], removed: tuple[Key, ...]) -> None:
        put = tuple(hook for hook in put if self._hooks.get(_key(hook)) != hook)
        for hook in put:
            self._hooks[_key(hook)] = hook
        removed = tuple(key for key in removed if self._hooks.pop(key, None) is not None)
        for subscriber in self._subscribers.values():
            # A hook may have changed its event: who does not want the new one drops the old.
            wanted = tuple(hook for hook in put if hook.event in subscriber.events)
            unwanted = tuple(_key(hook) for hook in put if hook.event not in subscriber.events)
            if wanted or removed or unwanted:
                self.send(subscriber.address, HooksChanged(wanted, removed + unwanted))

    # The responders' side

    def on_peers(self, _before: Mapping[str, Peer]) -> None:
        """Forget responders that are gone; their successors subscribe."""
        alive = [peer.address for peer in self.peers.values()]
        self._subscribers = {
            key: subscriber
            for key, subscriber in self._subscribers.items()
            if any(subscriber.address == address for address in alive)
        }

    def receiveMsg_Subscribe(self, message: Subscribe, sender: ActorAddress) -> None:
        """A responder wants its hooks, page by page, and every change."""
        subscriber = _Subscriber(sender, frozenset(message.events))
        self._subscribers[str(sender)] = subscriber
        if self._loaded:
            self._begin_pages(subscriber)

    def receiveMsg_NextPage(self, _message: NextPage, sender: ActorAddress) -> None:
        """A responder is ready for more."""
        subscriber = self._subscribers.get(str(sender))
        if subscriber is not None and subscriber.pages is not None:
            self._send_page(subscriber)

    def _begin_pages(self, subscriber: _Subscriber) -> None:
        if subscriber.pages is None:
            subscriber.pages = iter(list(self._hooks))
            self._send_page(subscriber)

    def _send_page(self, subscriber: _Subscriber) -> None:
        assert subscriber.pages is not None
        hooks: list[Hook] = []
        last = True
        for key in subscriber.pages:
            # Looked up now, not when paging began: changes in between were sent already.
            hook = self._hooks.get(key)
            if hook is not None and hook.event in subscriber.events:
                hooks.append(hook)
                if len(hooks) == PAGE_HOOKS:
                    last = False
                    break
        self.send(subscriber.address, HookPage(tuple(hooks), last))
        if last:
            subscriber.pages = None


def _key(hook: Hook) -> Key:
    return hook.account_id, hook.id
