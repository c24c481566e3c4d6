"""The arguments of maintenance commands: accepted values, and error texts for the others."""

import re
from collections.abc import Collection
from typing import Any

from callboard.webhooks.hooks.failure_window import MAX_TIMES, HookKey
from callboard.webhooks.values.json_values import as_int
from callboard.webhooks.values.kazoo_names import account_of_database, decoded

BAD_EXPIRY = "error in expiry time, must be an integer (milliseconds)"
BAD_COUNT = "error in count, must be an integer"

MAX_EXPIRY_MS = 24 * 3600 * 1000
"""The longest time for which a failure is remembered, in milliseconds."""

_MAX_TIME_DIGITS = 12
"""Of Gregorian seconds. Python refuses to read numbers of thousands of digits."""

DEFINITION_PREFIX = "webhooks_"

# Includes ids of other buses than Kazoo's, but no slash, which could be half a database name.
_ACCOUNT_ID = re.compile(r"[!-$&-.0-~]+")


class BadArgument(ValueError):
    """An unusable argument; the text gives the reason and the permitted values."""


class NotOnThisNode(BadArgument):
    """A setting of this node does not permit such requests. `setting`: its name."""

    def __init__(self, reason: str, setting: str) -> None:
        super().__init__(reason)
        self.setting = setting


def account_argument(value: Any) -> str:
    """The account's id, from the id itself or from either form of its database's name."""
    if isinstance(value, str):
        if account_id := account_of_database(decoded(value.lower())):
            return account_id
        if _ACCOUNT_ID.fullmatch(value):
            return value
    raise BadArgument(
        f"{value!r} names no account: give its id, or its database as account/ab/cd/… or "
        f"account%2Fab%2Fcd%2F…"
    )


def hook_argument(value: Any) -> str:
    """A hook's id, unchanged."""
    if isinstance(value, str) and value:
        return value
    raise BadArgument(f"{value!r} is no id of a hook")


def expiry_argument(value: Any) -> int:
    """How long failures count, in milliseconds."""
    return _whole(value, BAD_EXPIRY, MAX_EXPIRY_MS)


def count_argument(value: Any) -> int:
    """The number of failures that disables a hook."""
    return _whole(value, BAD_COUNT, MAX_TIMES)


def _whole(value: Any, complaint: str, most: int) -> int:
    number = as_int(value)
    if number is None:
        raise BadArgument(complaint)
    if not 1 <= number <= most:
        raise BadArgument(f"{complaint} from 1 to {most}")
    return number


def definition_argument(value: Any, known: Collection[str]) -> str:
    """The id of a module's metadata document, from it or from the module's (`known`) id."""
    id = str(value).removeprefix(DEFINITION_PREFIX)
    if id not in known:
        raise BadArgument(
            f"{value!r} is no hook definition: there are {', '.join(sorted(known)) or 'none'}"
        )
    return DEFINITION_PREFIX + id


def cursor_argument(value: Any, size: int) -> tuple[str, ...]:
    """The position at which a page starts; empty for the first page."""
    whole = isinstance(value, tuple) and len(value) in (0, size)
    if whole and all(isinstance(part, str) for part in value):
        return tuple(value)
    raise BadArgument(f"{value!r} is no page's end: give as `after` the `more` of a response")


def key_argument(value: Any) -> HookKey | None:
    """The same for pages of hooks: a hook's key, or None for the first page."""
    cursor = cursor_argument(value, 2)
    return (cursor[0], cursor[1]) if cursor else None


MAX_DIGITS = 16
"""Of Unix milliseconds."""


def due_argument(due_ms: str) -> int:
    """A due time in a cursor, in Unix milliseconds."""
    if not due_ms.isdecimal() or len(due_ms) > MAX_DIGITS:
        raise BadArgument(f"{due_ms[:100]!r} is no page's end: it is no time")
    return int(due_ms)


def place_argument(value: Any) -> tuple[int, str] | None:
    """The same for pages of dead letters: time and id of the last, or None for the first page."""
    cursor = cursor_argument(value, 2)
    if not cursor:
        return None
    if not cursor[0].isdecimal() or len(cursor[0]) > _MAX_TIME_DIGITS:
        raise BadArgument(f"{cursor[0][:100]!r} is no page's end: it is no time")
    return int(cursor[0]), cursor[1]


def limit_argument(value: Any, most: int) -> int:
    """The most items on a page."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadArgument(f"{value!r} is no number of things that a page may hold")
    return min(value, most)


def version_argument(value: Any, newest: int) -> None:
    """Checks the version that a message was written for."""
    if not isinstance(value, int) or not 1 <= value <= newest:
        raise BadArgument(
            f"version {value!r} is asked for, and this Callboard knows versions up to {newest} of "
            f"callboard.admin: update it"
        )


def ids_argument(value: Any, most: int) -> tuple[str, ...]:
    """The ids of the items to act on, without duplicates."""
    if not isinstance(value, tuple) or not all(isinstance(id, str) and id for id in value):
        raise BadArgument(f"{value!r:.100} is no tuple of ids")
    if len(value) > most:
        raise BadArgument(f"{len(value)} ids are given: {most} are taken at a time")
    return tuple(dict.fromkeys(value))


def time_argument(value: Any) -> float:
    """A time in Unix seconds, of the years 1970 to 9999."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 253_402_300_800:
        raise BadArgument(f"{value!r} is no time in Unix seconds")
    return float(value)


def choice_argument(value: Any, choices: Collection[str]) -> str:
    """One of a fixed set of words."""
    if value not in choices:
        raise BadArgument(f"{value!r} is none of {', '.join(choices)}")
    return str(value)
