"""Telephone numbers in E.164 form (knm_converter_regex)."""

import re
from collections.abc import Mapping
from typing import Any

CONVERTERS: Mapping[str, Any] = {
    r"^(\+?1)?([2-9][0-9]{2}[2-9][0-9]{6})$": {"prefix": "+1"},
    r"^011(\d{5,})$|^00(\d{5,})$": {"prefix": "+"},
    r"^[2-9]\d{7,}$": {"prefix": "+"},
}
"""Kazoo's default for `system_config/number_manager` `e164_converters`."""


def e164(number: str, converters: Mapping[str, Any] = CONVERTERS) -> str:
    """The number as `+15551234567`; unchanged if no converter matches.

    The first pattern found in the number decides: the text of its last group (or of the whole match
    without groups) is put between its `prefix` and `suffix`. Raises re.error for an invalid
    pattern.
    """
    if number.startswith("+"):
        return number
    for pattern, affixes in converters.items():
        match = re.search(pattern, number)
        if match:
            root = match[match.lastindex or 0]
            return f"{affixes.get('prefix', '')}{root}{affixes.get('suffix', '')}"
    return number
