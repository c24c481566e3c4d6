"""The arguments of maintenance commands: what is taken, and what is said of the rest."""

import re
from collections.abc import Collection
from typing import Any

from callboard.webhooks.failures import MAX_TIMES
from callboard.webhooks.names import account_of_database
from callboard.webhooks.values import as_int

BAD_EXPIRY = "error in expiry time, must be an integer (milliseconds)"
BAD_COUNT = "error in count, must be an integer"

MAX_EXPIRY_MS = 24 * 3600 * 1000
"""No failure is remembered for longer."""

DEFINITION_PREFIX = "webhooks_"

# Ids of other buses than Kazoo's; no slash, which would be half a database name.
_ACCOUNT_ID = re.compile(r"[!-$&-.0-~]+")


class BadArgument(ValueError):
    """An argument that cannot be used; the text says why, and what can."""


def account_argument(value: Any) -> str:
    """The account's id, from itself or from either form of its database's name."""
    if isinstance(value, str):
        if account_id := account_of_database(value):
            return account_id
        if _ACCOUNT_ID.fullmatch(value):
            return value
    raise BadArgument(
        f"{value!r} names no account: give its id, or its database as account/ab/cd/… or "
        f"account%2Fab%2Fcd%2F…"
    )


def hook_argument(value: Any) -> str:
    """A hook's id, as it is."""
    if isinstance(value, str) and value:
        return value
    raise BadArgument(f"{value!r} is no id of a hook")


def expiry_argument(value: Any) -> int:
    """How long failures count, milliseconds."""
    return _whole(value, BAD_EXPIRY, MAX_EXPIRY_MS)


def count_argument(value: Any) -> int:
    """How many failures disable a hook."""
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
    id = value.removeprefix(DEFINITION_PREFIX) if isinstance(value, str) else value
    if id not in known:
        raise BadArgument(
            f"{value!r} is no hook definition: there are {', '.join(sorted(known)) or 'none'}"
        )
    return DEFINITION_PREFIX + str(id)
