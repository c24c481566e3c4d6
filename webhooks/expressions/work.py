"""The work of an expression: counted before it is done, and bounded."""

from collections.abc import Sequence
from typing import Any

from callboard.webhooks.events.event import MAX_NESTING

TEXT_UNIT = 16
"""So many characters of a text are one unit of work."""


class TooMuchWork(Exception):
    """An expression would take more work than it may."""


class Work:
    """The units that an evaluation may still take.

    A unit is a step of the expression, a member of a list or an object that it looks at, or
    `TEXT_UNIT` characters: about 0.1 microseconds.
    """

    __slots__ = ("left",)

    def __init__(self, units: int) -> None:
        self.left = units

    def take(self, units: int) -> None:
        """Count units before they are spent. Raises TooMuchWork."""
        self.left -= units
        if self.left < 0:
            raise TooMuchWork("the expression has too much to do for this event")

    def take_texts(self, texts: Sequence[str]) -> None:
        """The same for a look at all characters of these."""
        self.take(len(texts) + sum(map(len, texts)) // TEXT_UNIT)

    def take_whole(self, value: Any) -> None:
        """The same for a value with all its members. Raises TooMuchWork also for its depth.

        Values may have members in common, as often as an expression repeats them: each counts as
        often as it would be written.
        """
        level, depth = [value], 0
        while level:
            depth += 1
            if depth > MAX_NESTING + 1:
                raise TooMuchWork(f"the value is nested deeper than {MAX_NESTING} levels")
            below: list[Any] = []
            for one in level:
                if isinstance(one, str):
                    self.take(1 + len(one) // TEXT_UNIT)
                elif isinstance(one, dict):
                    self.take(1 + len(one))
                    self.take_texts(list(one))
                    below += one.values()
                elif isinstance(one, list):
                    self.take(1 + len(one))
                    below += one
                else:
                    self.take(1)
            level = below
