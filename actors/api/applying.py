"""Asks for saved hooks to be applied, many at once."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from callboard.actors.api.asking import Asked, fail, settle
from callboard.actors.messages import ApplyHooks, HooksApplied
from callboard.actors.messages.paths import HOOK_LISTENER


class Applying:
    """One request to the hook listener at a time: those that come meanwhile share the next.

    Each is a read of the store, and messages to the hook table and all responders.
    """

    def __init__(self, ask: Callable[[Asked], None]) -> None:
        self._ask = ask
        self._waiting: list[Asked] = []
        self._asked: list[Asked] = []

    def apply(self, asked: Asked) -> None:
        """Send an `ApplyHooks`, now or with others."""
        self._waiting.append(asked)
        self._go_on()

    def _go_on(self) -> None:
        # A response that never comes holds up its own threads only, which cancel in the end.
        if any(not one.future.done() for one in self._asked):
            return
        self._asked = [one for one in self._waiting if not one.future.done()]
        self._waiting = []
        if self._asked:
            hooks = tuple(hook for one in self._asked for hook in one.message.hooks)
            together = Asked(HOOK_LISTENER, ApplyHooks(hooks), HooksApplied)
            together.future.add_done_callback(partial(self._applied, self._asked))
            self._ask(together)

    def _applied(self, asked: list[Asked], future: "Future[Any]") -> None:
        for one in asked:
            if error := future.exception():
                fail(one.future, error)
            else:
                settle(one.future, future.result())
        self._go_on()
