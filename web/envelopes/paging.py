"""Listings page by page, with opaque keys (crossbar_view)."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from attrs import frozen

from callboard.web.envelopes.envelope import Page
from callboard.web.errors import invalid_member
from callboard.webhooks.events.event import too_deep
from callboard.webhooks.values.json_values import as_bool, as_int

MAX_PAGE = 5000
"""The most elements on a page, whatever the request demands."""
MAX_SEEN = 20_000
"""The most elements to examine for a page; with filters it may end up empty."""
MAX_BYTES = 16_000_000
"""A page with long texts ends before it exceeds this number of bytes."""

R = TypeVar("R")


def _weightless(_row: Any) -> int:
    return 0


@frozen
class Paging:
    """The requested part of a listing. `size` None: all at once; `start`: an element's position."""

    size: int | None
    start: list[Any] | None = None
    start_key: str | None = None
    ascending: bool = False


def paging_of(query: Mapping[str, str], default_size: int) -> Paging:
    """The paging in the query. Raises ApiError 400."""
    # crossbar_view:direction: any `ascending` but `false` counts, and `descending=false` does not.
    descending = query.get("descending") == "true"
    ascending = query.get("ascending", "false") != "false" and not descending
    if as_bool(query.get("paginate"), True) is False:
        return Paging(None, ascending=ascending)
    size = default_size
    if (written := query.get("page_size")) is not None:
        wanted = as_int(written)
        if wanted is None or wanted < 1:
            raise invalid_member(
                "page_size", "minimum", "Value must be at least 1", target=1, value=written
            )
        size = min(wanted, MAX_PAGE)
    start, start_key = start_of(query)
    return Paging(size, start, start_key, ascending)


def start_of(query: Mapping[str, str]) -> tuple[list[Any] | None, str | None]:
    """The position in the query and its key; None without one. Raises ApiError 400."""
    key = query.get("start_key") or None
    return None if key is None else _position(key), key


def page_of(
    rows: Iterable[R],
    paging: Paging,
    wanted: Callable[[R], bool],
    position: Callable[[R], list[Any]],
    weight: Callable[[R], int] = _weightless,
) -> tuple[list[R], Page | None]:
    """The wanted elements, and their page; None if these are all elements.

    `weight`: the bytes of an element's texts. A page has at least one element, however heavy.
    Raises ApiError 400 if all at once are too many.
    """
    found: list[R] = []
    held = 0
    for seen, row in enumerate(rows):
        if seen >= MAX_SEEN or len(found) == paging.size:
            return found, _ended(found, paging, position(row), f"more than {MAX_SEEN}")
        if wanted(row):
            held += weight(row)
            if found and held > MAX_BYTES:
                return found, _ended(found, paging, position(row), f"more than {MAX_BYTES} bytes")
            found.append(row)
    return found, _page(found, paging, None)


def count_of(rows: Iterable[R], wanted: Callable[[R], bool]) -> dict[str, Any]:
    """The number of the wanted elements as it is shown; `more`: there may be others."""
    count = 0
    for seen, row in enumerate(rows):
        if seen >= MAX_SEEN:
            return {"count": count, "more": True}
        count += wanted(row)
    return {"count": count, "more": False}


def _ended(found: list[R], paging: Paging, following: list[Any], much: str) -> Page | None:
    if paging.size is None:
        raise invalid_member("paginate", "maximum", f"there are {much}: ask for pages")
    return _page(found, paging, key_of(following))


def _page(found: list[R], paging: Paging, next_key: str | None) -> Page | None:
    return None if paging.size is None else Page(len(found), paging.start_key, next_key)


def key_of(position: list[Any]) -> str:
    """The opaque form of a position."""
    text = json.dumps(position, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position(key: str) -> list[Any]:
    try:
        position = json.loads(base64.urlsafe_b64decode(key + "=="))  # more than needed
        # Fails for a lone surrogate, which no store accepts.
        json.dumps(position, ensure_ascii=False).encode()
    except (binascii.Error, ValueError, RecursionError):
        position = None
    if not isinstance(position, list) or too_deep(position):
        raise invalid_member(
            "start_key", "error", "is no next_start_key of an earlier page", value=key
        )
    return position
