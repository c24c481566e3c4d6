"""A hook's own expressions: which events it wants (`filter`), and what it sends (`transform`).

Both are in JMESPath, in members of the hook's document that Kazoo's own nodes ignore.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.expressions.evaluation import Expression, compiled
from callboard.webhooks.expressions.parsing import InvalidExpression
from callboard.webhooks.values.pickling import Positional

FILTER, TRANSFORM = "filter", "transform"
EXPRESSIONS = (FILTER, TRANSFORM)
"""The members of a hook's document that are expressions."""

EVENT, HEADERS = "_event", "_headers"
"""Members that expressions find beside the payload's: facts of the event, its message's headers."""

MAX_NODES_KEPT = 200_000
"""The size of the compiled expressions that a process keeps, of some 200 bytes each."""


class InvalidShape(ValueError):
    """An invalid `filter` or `transform`. `position`: the characters before the mistake."""

    def __init__(self, member: str, reason: str, position: int = 0) -> None:
        super().__init__(member, reason, position)
        self.member, self.position = member, position
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.member} {self.reason}"


@frozen(weakref_slot=False)
class Shape(Positional):
    """The expressions of a hook; an empty one is none."""

    filter: str = ""
    transform: str = ""


def parse_shape(document: Mapping[str, Any]) -> Shape | None:
    """The expressions in a hook's document; None if there are none. Raises InvalidShape."""
    found = {}
    for member in EXPRESSIONS:
        text = document.get(member)
        if text is None:
            continue
        if not isinstance(text, str):
            raise InvalidShape(member, "is no text with a JMESPath expression")
        try:
            expression(text)
        except InvalidExpression as problem:
            raise InvalidShape(member, f"is no JMESPath: {problem}", problem.position) from None
        found[member] = text
    return Shape(**found) if found else None


class _Kept:
    """Compiled expressions by their text, until there are too many; hooks may share one."""

    def __init__(self, most: int) -> None:
        self._most, self._nodes = most, 0
        self._kept: OrderedDict[str, Expression] = OrderedDict()

    def get(self, text: str) -> Expression:
        """The expression, compiled once as long as it is in use. Raises InvalidExpression."""
        found = self._kept.get(text)
        if found is None:
            found = self._kept[text] = compiled(text)
            self._nodes += found.nodes
            while self._nodes > self._most:
                _text, oldest = self._kept.popitem(last=False)
                self._nodes -= oldest.nodes
        else:
            self._kept.move_to_end(text)
        return found


expression = _Kept(MAX_NODES_KEPT).get
"""The compiled expression of a text. Raises InvalidExpression."""
