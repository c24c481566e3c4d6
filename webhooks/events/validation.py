"""Checks that messages are valid (kz_api:validate); Kazoo's handler crashes on an invalid one."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.events.event import Event, PoisonEvent

DEFAULT_HEADERS = ("App-Name", "App-Version", "Event-Category", "Event-Name", "Msg-ID")
"""Headers of every valid message."""


@frozen
class Kind:
    """The type that a header's value must have, in words and as a test."""

    name: str
    holds: Callable[[Any], bool]


STRING = Kind("a string", lambda value: isinstance(value, str))
NON_EMPTY_STRING = Kind("a non-empty string", lambda value: isinstance(value, str) and value != "")
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
BOOLEAN = Kind("a boolean", lambda value: isinstance(value, bool) or value in ("true", "false"))
POSITIVE_INTEGER = Kind("a positive integer", lambda value: type(value) is int and value > 0)
NON_EMPTY_LIST = Kind("a non-empty list", lambda value: isinstance(value, list) and bool(value))
LIST_OF_OBJECTS = Kind(
    "a list of objects",
    lambda value: isinstance(value, list) and all(isinstance(member, dict) for member in value),
)


def one_of(*values: str) -> Kind:
    """A value from a fixed set."""
    return Kind(f"one of {', '.join(values)}", lambda value: value in values)


def validate(event: Event, required: tuple[str, ...], kinds: Mapping[str, Kind]) -> None:
    """Raise PoisonEvent, naming all faults, unless the event is valid.

    The default headers and `required` must be present, even as null or "". A header with a kind
    must match it if it is present. Unknown headers are allowed.
    """
    body = event.body
    wrong = [
        f"{header} is missing" for header in (*DEFAULT_HEADERS, *required) if header not in body
    ]
    wrong += [
        f"{header} is not {kind.name}"
        for header, kind in kinds.items()
        if header in body and not kind.holds(body[header])
    ]
    if wrong:
        what = " ".join(filter(None, (event.category, event.name)))
        raise PoisonEvent(f"no valid message ({what}): {'; '.join(wrong)}")
