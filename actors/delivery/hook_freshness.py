"""Holds work until the hooks are as the store has them, after changes may have been missed."""

import itertools
from collections.abc import Callable
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.role import Role
from callboard.actors.messages import HooksRefreshed, RefreshHooks
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.supervision import Call, PeersChanged, Timer

ASK_AGAIN_S = 5.0
"""A message may have been lost."""


class HookFreshness:
    """What an actor knows of the hooks, which may be old: it slept, or its connection was lost.

    `listener`: the address of the hook listener. `go_on` is called when the hooks are fresh again.
    """

    def __init__(
        self,
        listener: Callable[[], ActorAddress | None],
        send: Callable[[ActorAddress, Any], None],
        timer: Callable[[Call], Timer],
        go_on: Callable[[], None],
    ) -> None:
        self._listener, self._send, self._go_on = listener, send, go_on
        self._again = timer(self.ask)
        self._numbers = itertools.count(1)
        self._asked: int | None = None

    @property
    def is_pending(self) -> bool:
        """Whether the hooks may be old: nothing is to be sent for them."""
        return self._asked is not None

    def expire(self) -> None:
        """The hooks may be old from now on."""
        self._asked = next(self._numbers)
        self.ask()

    def ask(self) -> None:
        """Ask the listener, if that is necessary, and again if it does not answer."""
        if self._asked is not None:
            if listener := self._listener():
                self._send(listener, RefreshHooks(self._asked))
            self._again.within(ASK_AGAIN_S)

    def refreshed(self, message: HooksRefreshed) -> None:
        """The listener's answer."""
        if message.ask == self._asked:
            self._asked = None
            self._again.clear()
            self._go_on()


class UsesHooks(Role):
    """An actor that holds its work while `freshness` is pending; `begin` calls `use_hooks`."""

    freshness: HookFreshness

    def use_hooks(self, go_on: Callable[[], None]) -> None:
        """`go_on` is called when the hooks are fresh again."""
        self.freshness = HookFreshness(
            lambda: self.peer(HOOK_LISTENER), self.send, self.timer, go_on
        )

    def on_wake(self) -> None:
        """Hold the work: hooks may have changed while this actor stood still."""
        self.freshness.expire()

    def receiveMsg_HooksRefreshed(self, message: HooksRefreshed, _sender: ActorAddress) -> None:
        """The hook listener's answer."""
        self.freshness.refreshed(message)

    def receiveMsg_PeersChanged(self, message: PeersChanged, sender: ActorAddress) -> None:
        """Ask a new hook listener."""
        before = self.peers.get(HOOK_LISTENER)
        super().receiveMsg_PeersChanged(message, sender)
        if self._started and self.peers.get(HOOK_LISTENER) != before:
            self.freshness.ask()
