"""Routing keys and the patterns of topic bindings (AMQP 0-9-1, section 3.1.3.3)."""

import re
from collections.abc import Callable
from functools import lru_cache

from callboard.adapters.broker.protocol import DIRECT, FANOUT, TOPIC


def matches(pattern: str, routing_key: str) -> bool:
    """Whether a topic exchange routes a message with this key to a binding with this pattern.

    Both are words separated by dots; in the pattern `*` stands for exactly one word and `#` for
    zero or more. A word may be empty: `a..b` has three, and "" has none (as RabbitMQ counts).
    """
    return _compiled(pattern).fullmatch(f".{routing_key}" if routing_key else "") is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as an expression over words that each start with a dot."""
    words = pattern.split(".") if pattern else []
    # Adjacent `#` are equivalent to one; kept, they would make a failing match exponential.
    words = [word for i, word in enumerate(words) if word != "#" or words[i - 1 : i] != ["#"]]
    return re.compile("".join(map(_expression, words)), re.DOTALL)


def _expression(word: str) -> str:
    match word:
        case "#":
            return r"(?:\.[^.]*)*"
        case "*":
            return r"\.[^.]*"
        case _:
            return r"\." + re.escape(word)


BOUND_BY: dict[str, Callable[[str, str], bool]] = {
    TOPIC: matches,
    DIRECT: lambda key, routing_key: key == routing_key,
    FANOUT: lambda _key, _routing_key: True,
}
"""Whether a routing key matches a binding's key, by type of exchange."""
