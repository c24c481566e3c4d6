"""Hooks in trouble: their requests get no response, while other hooks of their endpoint get theirs.

Thousands of customers may share one endpoint, such as that of a chat. A hook there whose requests
hang or end without a response says nothing about the others. It is found by two requests in a row
without a response, with a quick response to another hook in between; it needs one quick response to
be among the others again. An endpoint that answers no hook has no hooks in trouble: its circuit
opens.
"""

import math
from collections import OrderedDict

MAX_HOOKS = 10_000
"""The most hooks to remember; beyond, the one that failed longest ago is forgotten."""
_SIDE = " (hooks in trouble)"
_IN_TROUBLE = -math.inf


def side_of(endpoint: str) -> str:
    """The name of the side queue of an endpoint's hooks in trouble; of a side queue: its own."""
    return endpoint if is_side(endpoint) else endpoint + _SIDE


def endpoint_of_side(name: str) -> str:
    """The endpoint of a side queue; of an endpoint: its own name."""
    return name.removesuffix(_SIDE)


def is_side(name: str) -> bool:
    """Whether this is a side queue, and no endpoint."""
    return name.endswith(_SIDE)


class Trouble:
    """The hooks whose latest request got no response, by endpoint and id."""

    def __init__(self, most: int = MAX_HOOKS) -> None:
        self._most = most
        # When its first request failed, or IN_TROUBLE; the one that failed longest ago is first.
        self._failed: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __contains__(self, hook: tuple[str, str]) -> bool:
        return self._failed.get(hook) == _IN_TROUBLE

    def __len__(self) -> int:
        """The number of hooks that are remembered."""
        return len(self._failed)

    def failed(self, hook: tuple[str, str], now: float, responded_at: float) -> bool:
        """Record a request without a response; whether the hook is in trouble.

        `responded_at`: when its endpoint gave the latest quick response.
        """
        since = self._failed.pop(hook, now)
        self._failed[hook] = since = _IN_TROUBLE if responded_at > since else since
        if len(self._failed) > self._most:
            self._failed.popitem(last=False)
        return since == _IN_TROUBLE

    def responded(self, hook: tuple[str, str], quickly: bool) -> None:
        """Record a response. A slow one lets a hook in trouble stay there."""
        if quickly or hook not in self:
            self._failed.pop(hook, None)
