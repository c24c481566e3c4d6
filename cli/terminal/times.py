"""Times as people write them: `2026-11-24T10:00`, `2026-11-24`, or an age or span, `90m`."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

_SPAN = re.compile(r"(\d{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def span_s(text: str, units: str = "smhd") -> int | None:
    """The seconds of a span such as `90m`; None if it is none, or of another unit."""
    written = _SPAN.fullmatch(text)
    return int(written[1]) * _SECONDS[written[2]] if written and written[2] in units else None


class When(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """A time in Unix seconds. Without a zone it is UTC."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """The time in seconds; a number is returned unchanged."""
        if isinstance(value, int | float):
            return float(value)
        if (ago_s := span_s(value, "smhdw")) is not None:
            return max(0.0, time.time() - ago_s)
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is no valid time: give 2026-11-24T10:00 (UTC, or with a zone: +01:00), "
                f"2026-11-24, or how long ago: 90m, 2h, 7d",
                param,
                ctx,
            )
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


WHEN = When()


def shown(unix_s: float) -> str:
    """A time in UTC, for people: `2026-11-24 10:00:00Z`."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
