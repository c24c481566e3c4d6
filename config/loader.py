"""Reads the settings: defaults < file < environment `CALLBOARD_*` < command line."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from callboard.config import module_tables, time_limits
from callboard.config.options import Option, options, sections
from callboard.config.rules import HIDDEN
from callboard.config.settings import ModuleSettings, Settings

SYSTEM_FILE = Path("/etc/callboard/callboard.toml")
"""Read if it exists and no other file is named."""

PREFIX = "CALLBOARD_"
FILE_VARIABLE = "CALLBOARD_CONFIG"
OTHER_VARIABLES = re.compile(r"CALLBOARD_(CONFIG|REQUIRE_SERVICES|SERVICES_DIR|TEST_.*)")
"""Callboard's variables that are no settings."""

DEFAULT = "default"


class ConfigError(Exception):
    """The configuration is wrong; the text gives the key, the place and the permitted values."""


@frozen
class Loaded:
    """The settings, and the origin of each key's value (`amqp.url`)."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None
    """The file that was read."""


@frozen
class _Written:
    """A value as it was written, and its place."""

    option: Option
    value: Any
    origin: str


def load(
    file: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
    system_file: Path = SYSTEM_FILE,
) -> Loaded:
    """The settings of this node.

    `file` is the one of `--config`; without it, the file that CALLBOARD_CONFIG names is read, or
    else `system_file` if it exists. `overrides` are the command line's, by key
    (`amqp.url`); None means that an option was not given. Raises ConfigError for an unreadable
    file, an unknown key, or a value that is not permitted.
    """
    file = _file(file, environ, system_file)
    text, tables = _read(file) if file else ("", {})
    modules = _modules(file, text, tables.pop(module_tables.SECTION, []))
    values: dict[str, Any] = {}
    origins = {option.key: DEFAULT for option in options()}
    from_file = _from_file(file, text, tables)
    for written in (*from_file, *_from_environment(environ), *_from_options(overrides)):
        key = written.option.key
        values[key] = _converted(written)
        origins[key] = written.origin
    settings = evolve(_settings(values, origins), modules=modules)
    try:
        time_limits.check(settings)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return Loaded(settings, origins, file)


def _file(file: Path | None, environ: Mapping[str, str], system_file: Path) -> Path | None:
    if file is None and environ.get(FILE_VARIABLE):
        return Path(environ[FILE_VARIABLE])
    if file is None and system_file.exists():
        return system_file
    return file


def _modules(file: Path | None, text: str, written: Any) -> tuple[ModuleSettings, ...]:
    try:
        return module_tables.module_settings(written, text)
    except module_tables.WrongTable as error:
        raise ConfigError(f"{file}{error}") from None


def _from_file(file: Path | None, text: str, tables: Mapping[str, Any]) -> Iterator[_Written]:
    for section, keys in tables.items():
        place = f"{file}{_line(text, section)}"
        if section not in sections():
            raise ConfigError(f"{place}: no section is called {section}{_near(section)}")
        if not isinstance(keys, dict):
            raise ConfigError(f"{place}: {section} is a section, write [{section}]")
        for name, value in keys.items():
            place = f"{file}{_line(text, section, name)}"
            yield _Written(_option(f"{section}.{name}", place), value, place)


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text: {error.reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not TOML: {error}") from error
    except RecursionError:
        raise ConfigError(f"{file}: is not read: its lists or tables are nested too deep") from None


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Written]:
    by_variable = {option.variable: option for option in options()}
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or OTHER_VARIABLES.fullmatch(variable):
            continue
        if variable not in by_variable:
            raise ConfigError(
                f"environment variable {variable} names no key{_near(variable, by_variable)}"
            )
        yield _Written(by_variable[variable], value, f"environment variable {variable}")


def _from_options(overrides: Mapping[str, Any] | None) -> Iterator[_Written]:
    for key, value in (overrides or {}).items():
        if value is not None:
            option = _option(key, "command line")
            yield _Written(option, value, f"option {option.flag}")


def _option(key: str, place: str) -> Option:
    by_key = {option.key: option for option in options()}
    if key not in by_key:
        raise ConfigError(f"{place}: no key is called {key}{_near(key)}")
    return by_key[key]


def _converted(written: _Written) -> Any:
    option = written.option
    try:
        return option.rule(written.value)
    except ValueError as error:
        shown = repr(written.value)
        if option.secret or ("URL" in option.rule.allowed and "@" in shown):
            shown = HIDDEN  # a value that is no URL may contain a password in any place
        raise ConfigError(f"{written.origin}: {option.key} = {shown}: {error}") from None


def _settings(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    made = {
        section: _section(
            kind,
            {key: value for key, value in values.items() if key.startswith(f"{section}.")},
            origins,
        )
        for section, kind in sections().items()
    }
    try:
        return Settings(**made)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _section(made: type[Any], values: Mapping[str, Any], origins: Mapping[str, str]) -> Any:
    try:
        return made(**{key.partition(".")[2]: value for key, value in values.items()})
    except ValueError as error:
        places = sorted({origins[key] for key in values})
        raise ConfigError(f"{', '.join(places)}: {error}") from None


def _near(wrong: str, known: Iterable[str] | None = None) -> str:
    """A question with the key of this name in another section, or the most similar name.

    Without one, the permitted sections.
    """
    keys = [option.key for option in options()]
    moved = [key for key in keys if key.partition(".")[2] == wrong.rpartition(".")[2]]
    names = known or (keys if "." in wrong else [*sections(), *keys])
    near = [*moved, *difflib.get_close_matches(wrong, names)]
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are {', '.join(sections())}" if "." not in wrong else ""


def _line(text: str, section: str, name: str = "") -> str:
    """The line of a key, as `:3`; empty if it is written in an unusual way."""
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([\w-]+)\s*\]", line):
            here = header[1]
            if here == section and not name:
                return f":{number}"
        elif assigned := re.match(r"\s*([\w.-]+)\s*=", line):
            full = f"{here}.{assigned[1]}" if here else assigned[1]
            if full == (f"{section}.{name}" if name else section):
                return f":{number}"
    return ""
