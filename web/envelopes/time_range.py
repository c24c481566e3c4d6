"""The span of time that a listing is asked for (crossbar_view)."""

from collections.abc import Mapping

from attrs import frozen

from callboard.web.errors import invalid_member
from callboard.webhooks.values.json_values import as_int

_LEAST, _MOST = 62_167_219_200, 315_569_520_000 - 1
"""From the year 1970 to 9999, Gregorian seconds."""


@frozen
class TimeRange:
    """Gregorian seconds, both inclusive."""

    created_from: int
    created_to: int


def time_range(query: Mapping[str, str], now_gregorian_s: int, longest_s: int) -> TimeRange:
    """`created_from` and `created_to`: up to now by default, and as long as allowed.

    Raises ApiError 400: it is too wide, reversed, or no time.
    """
    created_to = _time(query, "created_to", now_gregorian_s)
    created_from = _time(query, "created_from", max(_LEAST, created_to - longest_s))
    if created_to < created_from:
        raise invalid_member(
            "created_from",
            "date_range",
            "created_to is prior to created_from",
            cause=created_from,
        )
    if created_to - created_from > longest_s:
        raise invalid_member(
            "created_from",
            "date_range",
            f"max range is {longest_s} seconds",
            cause=created_from,
        )
    return TimeRange(created_from, created_to)


def _time(query: Mapping[str, str], name: str, default: int) -> int:
    written = query.get(name)
    if written is None:
        return default
    time = as_int(written)
    if time is None or not _LEAST <= time <= _MOST:
        message = "must be Gregorian seconds"
        raise invalid_member(name, "date_range", message, cause=written)
    return time
