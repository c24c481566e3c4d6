"""Declarations as the text of a TOML file, the same for the same content."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from callboard.webhooks.hooks.quotas import SECTION

HEAD = "# Hooks as `callboard export` wrote them; `callboard apply` makes them so.\n"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(
    tables: Iterable[Mapping[str, Any]], quotas: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """The text, in parts: the quotas by account, then the hooks in their order."""
    yield HEAD
    for account_id in sorted(quotas):
        yield f"\n[accounts.{_string(account_id)}.{SECTION}]\n"
        yield from _lines(dict(sorted(quotas[account_id].items())))
    for table in tables:
        yield "\n[[hooks]]\n"
        yield from _lines(table)


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    return (f"{_key(key)} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(member)}" for key, member in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    # JSON's escapes are TOML's, but JSON lets the character DEL be.
    clean = text.encode(errors="replace").decode()
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007f")
