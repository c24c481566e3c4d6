"""The deliveries that go into their hooks' queues in the order of their events.

Responders send them as they make them. The bridge knows which events all modules have routed, and
releases their deliveries: every earlier delivery has been made by then.
"""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

Released = tuple[tuple[str, tuple[int, ...]], ...]
"""Shares, and the tags of each whose deliveries may go on."""


class Releases(Generic[T]):
    """Items by share and tag, until they are released. Valid for one incarnation of the bridge."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], T] = {}
        self._wanted: list[tuple[int, str]] = []
        self._done: set[tuple[int, str]] = set()
        self._number = 0

    def __len__(self) -> int:
        """The number of held events."""
        return len(self._held)

    def hold(self, share: str, items: Mapping[int, T]) -> None:
        """Hold the items of a share, by the tag of their event."""
        self._held.update({(share, tag): item for tag, item in items.items()})

    def release(self, number: int, before: int, released: Released) -> list[T]:
        """Replace the list of released items; returns the items that are void.

        `released`: all that are released and not known to be settled. `before`: of events with
        earlier tags nothing else is wanted. A list that arrives late, by its number, has no effect.
        """
        if number <= self._number:
            return []
        self._number = number
        self._wanted = sorted((tag, share) for share, tags in released for tag in tags)
        wanted = set(self._wanted)
        self._done &= wanted
        void = [
            (share, tag) for share, tag in self._held if tag < before and (tag, share) not in wanted
        ]
        return [self._held.pop(key) for key in void]

    def ready(self) -> Iterator[T]:
        """Take the items that may go on, in order, up to the first that has not arrived."""
        for tag, share in self._wanted:
            if (tag, share) in self._done:
                continue
            if (share, tag) not in self._held:
                return
            self._done.add((tag, share))
            yield self._held.pop((share, tag))
