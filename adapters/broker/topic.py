"""Routing keys and the patterns of topic bindings (AMQP 0-9-1, section 3.1.3.3)."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

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

DELAYED = "x-delayed-message"
"""The type of RabbitMQ's plug-in for delayed messages, which routes like another type."""
_ANY = ("any", "any-with-x")
_WITH_X = ("all-with-x", "any-with-x")


def bound_by(type: str, arguments: Mapping[str, Any]) -> Callable[[str, str], bool]:
    """Whether a routing key matches a binding's key, by type and arguments of the exchange.

    The keys of types that are not known, such as the weights of x-consistent-hash, match all.
    """
    if type == DELAYED:
        type = str(arguments.get("x-delayed-type", DIRECT))
    return BOUND_BY.get(type, BOUND_BY[FANOUT])


def headers_match(arguments: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    """Whether a headers exchange routes a message with these headers to such a binding.

    x-match is all (the default), any, or one of these with -with-x, which also compares names that
    begin with x-.
    """
    how = arguments.get("x-match", "all")
    names = [
        name
        for name in arguments
        if name != "x-match" and (how in _WITH_X or not name.startswith("x-"))
    ]
    found = (name in headers and headers[name] == arguments[name] for name in names)
    return any(found) if how in _ANY else all(found)
