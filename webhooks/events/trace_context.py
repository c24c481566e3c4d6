"""The trace context that travels in headers (W3C Trace Context, Level 1).

Invalid headers yield no context: a message may carry any text, and outgoing headers are always
generated, never copied.
"""

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.values.pickling import Positional

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"

MAX_STATE_MEMBERS = 32
MAX_STATE_CHARACTERS = 512
"""The most characters of `tracestate` to send: every receiver must accept these (3.3.1.5)."""
LONG_MEMBER = 128
"""Members longer than this are dropped first when the state is too long."""

_KNOWN_FLAGS = 0x03
"""`sampled`, and `random` of Level 2; unknown flags are set to zero."""

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_VALUE = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER = re.compile(f"({_KEY})=({_VALUE})")

Headers = tuple[tuple[str, str], ...]


@frozen
class TraceContext(Positional):
    """A position in a trace, to be named as the parent of spans.

    Both texts are valid; `tracestate` holds notes of tracing systems, and is often empty.
    """

    traceparent: str
    tracestate: str = ""

    @property
    def trace_id(self) -> str:
        """The trace's id: 32 hex digits."""
        return self.traceparent[3:35]

    @property
    def parent_id(self) -> str:
        """The id of the parent span: 16 hex digits."""
        return self.traceparent[36:52]

    @property
    def flags(self) -> int:
        """1: sampled, so that its spans are recorded somewhere; 2: the trace id is random."""
        return int(self.traceparent[53:], 16)


def trace_context(headers: Mapping[str, Any]) -> TraceContext | None:
    """The context in a message's headers; None if it is missing or invalid.

    An invalid state is dropped, and does not make the context invalid (3.3).
    """
    written = headers.get(TRACEPARENT)
    if not isinstance(written, str):
        return None
    parent = _parent(written)
    return TraceContext(parent, _state(headers.get(TRACESTATE))) if parent else None


def with_context(headers: Headers, context: TraceContext | None) -> Headers:
    """A request's headers with this context, unless they contain one already."""
    if context is None or any(name.lower() in (TRACEPARENT, TRACESTATE) for name, _ in headers):
        return headers
    headers = (*headers, (TRACEPARENT, context.traceparent))
    return (*headers, (TRACESTATE, context.tracestate)) if context.tracestate else headers


def _parent(written: str) -> str | None:
    """The parent in the form of version 00. Later versions may append fields (3.2.4)."""
    found = _PARENT.fullmatch(written)
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    return f"00-{trace_id}-{parent_id}-{int(flags, 16) & _KNOWN_FLAGS:02x}"


def _state(written: Any) -> str:
    """A list of key=value members, each key once; empty members are allowed (3.3.1)."""
    if not isinstance(written, str):
        return ""
    members = [member for item in written.split(",") if (member := item.strip(" \t"))]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = {match[1] for match in found if match}
    if len(members) > MAX_STATE_MEMBERS or len(keys) < len(members):
        return ""
    return ",".join(_short(members))


def _short(members: list[str]) -> list[str]:
    """The members that fit: the newest are first, so the last ones are dropped."""
    if _length(members) > MAX_STATE_CHARACTERS:
        members = [member for member in members if len(member) <= LONG_MEMBER]
    while _length(members) > MAX_STATE_CHARACTERS:
        members = members[:-1]
    return members


def _length(members: list[str]) -> int:
    return sum(map(len, members)) + len(members) - 1
