"""Holds work until the hooks are as the store has them, after changes may have been missed."""

import itertools
from collections.abc import Callable
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.messages import HooksRefreshed, RefreshHooks
from callboard.supervision import Call, Timer

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
