"""The `[[modules]]` tables of the configuration file."""

import difflib
import re
from typing import Any

import attrs

from callboard.config.settings import ModuleSettings

SECTION = "modules"

_HEADER = re.compile(r"\s*\[\[\s*modules\s*\]\]")


class WrongTable(Exception):
    """An invalid table; the text starts with its line, as `:12: `, if that is known."""


def module_settings(written: Any, text: str) -> tuple[ModuleSettings, ...]:
    """The checked tables. `text`: the file's, to find the lines.

    Raises WrongTable.
    """
    if not isinstance(written, list):
        raise WrongTable(f": {SECTION} is a list of tables, write [[{SECTION}]]")
    lines = [n for n, line in enumerate(text.splitlines(), 1) if _HEADER.match(line)]
    return tuple(
        _table(table, f"{_at(lines, number)}: {SECTION} table {number}")
        for number, table in enumerate(written, 1)
    )


def _at(lines: list[int], number: int) -> str:
    return f":{lines[number - 1]}" if number <= len(lines) else ""


def _table(written: Any, place: str) -> ModuleSettings:
    if not isinstance(written, dict):
        raise WrongTable(f"{place} is no table")
    keys = {key.name: key for key in attrs.fields(ModuleSettings)}
    for name in written:
        if name not in keys:
            raise WrongTable(f"{place}: no key is called {name}{_near(name, list(keys))}")
    for name, key in keys.items():
        if name in written:
            _check(key, written[name], place)
        elif key.default is attrs.NOTHING:
            raise WrongTable(f"{place}: {name} is missing: {key.metadata['facts'].help}")
    try:
        return ModuleSettings(**written)
    except ValueError as error:
        raise WrongTable(f"{place}: {error}") from None


def _check(key: "attrs.Attribute[Any]", value: Any, place: str) -> None:
    try:
        key.metadata["facts"].rule(value)
    except ValueError as error:
        raise WrongTable(f"{place}: {key.name} = {value!r}: {error}") from None


def _near(wrong: str, names: list[str]) -> str:
    near = difflib.get_close_matches(wrong, names)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
