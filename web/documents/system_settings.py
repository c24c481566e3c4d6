"""The cluster's settings for the API (system_config)."""

from typing import Any

from callboard.web.backend import Backend
from callboard.webhooks.events.directory import resolve_setting
from callboard.webhooks.values.json_values import as_int

PAGE_SIZE = 50
MAXIMUM_RANGE_S = 31 * 24 * 3600 + 3600


def setting(backend: Backend, category: str, key: str, default: Any) -> Any:
    """A key of `system_config/{category}`; a missing one is not written."""
    document = backend.store.get("system_config", category)
    return resolve_setting(document, backend.node.name, backend.node.zone, key, default)


def page_size(backend: Backend) -> int:
    """The number of elements on a page by default (crossbar: pagination_page_size)."""
    size = as_int(setting(backend, "crossbar", "pagination_page_size", PAGE_SIZE))
    return PAGE_SIZE if size is None or size < 1 else size


def maximum_range_s(backend: Backend) -> int:
    """The longest period of a listing (crossbar: maximum_range), seconds."""
    seconds = as_int(setting(backend, "crossbar", "maximum_range", MAXIMUM_RANGE_S))
    return MAXIMUM_RANGE_S if seconds is None or seconds < 1 else seconds
