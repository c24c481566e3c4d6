"""Telephone numbers in E.164 form (knm_converter_regex)."""

import re
from collections.abc import Mapping
from typing import Any

from callboard.webhooks.values.json_values import as_object

CONVERTERS: Mapping[str, Any] = {
    r"^(\+?1)?([2-9][0-9]{2}[2-9][0-9]{6})$": {"prefix": "+1"},
    r"^011(\d{5,})$|^00(\d{5,})$": {"prefix": "+"},
    r"^[2-9]\d{7,}$": {"prefix": "+"},
}
"""Kazoo's default for `system_config/number_manager` `e164_converters`."""


def e164(number: str, converters: Any = CONVERTERS) -> str:
    """The number as `+15551234567`; unchanged if no converter matches.

    The first pattern found in the number decides: the text of its last group (or of the whole match
    without groups) is put between its `prefix` and `suffix`. `converters`: the configured value;
    Kazoo's default if it is no object. An invalid pattern matches nothing.
    """
    if number.startswith("+"):
        return number
    for pattern, affixes in (converters if isinstance(converters, Mapping) else CONVERTERS).items():
        match, affixes = _found(pattern, number), as_object(affixes)
        if match:
            root = match[match.lastindex or 0]
            return f"{affixes.get('prefix', '')}{root}{affixes.get('suffix', '')}"
    return number


def _found(pattern: str, number: str) -> re.Match[str] | None:
    try:
        return re.search(pattern, number)
    except (re.error, RecursionError, OverflowError):
        return None
