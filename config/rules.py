"""The permitted values of keys: each rule converts a written value, or names those permitted."""

import ipaddress
import json
import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

HIDDEN = "***"
"""Shown in place of a secret."""
MAX_SECONDS = 30 * 24 * 3600

# A password may hold any character, also a slash that should be %2F: it ends at the last @ of its
# URL. In a list the next URL follows a comma.
_URL_PASSWORD = re.compile(r"(://(?:(?!,\s*[\w+.-]+://)[^@\s:])*):(?:(?!,\s*[\w+.-]+://)\S)*@")

_NEXT_URL = re.compile(r"\s*,\s*(?=[\w+.-]+://)|\s+")

LIGHT_GROUND, DARK_GROUND = "#f4f4f2", "#20242a"
"""The dashboard's grounds that are nearest to text, in light and in dark."""
CONTRAST = 4.5
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_ORIGIN = re.compile(r"https?://[^/@\s?#*]+")


@frozen
class Rule:
    """One kind of value: a sentence for people and an attrs converter.

    A rule takes text (environment, command line) as well as typed values (TOML, Python), and its
    own results. It raises ValueError, never with the value: it may be secret.
    """

    allowed: str
    type: type[int] | type[bool] | type[str]
    """The type for a command line: lists and paths are read as text."""
    convert: Callable[[Any], Any]

    def __call__(self, written: Any) -> Any:
        """The converted value."""
        try:
            return self.convert(written)
        except (TypeError, ValueError):
            raise ValueError(f"must be {self.allowed}") from None


def whole(least: int, most: int) -> Rule:
    """Whole numbers from `least` to `most`."""

    def convert(written: Any) -> int:
        if isinstance(written, str):
            written = int(written)
        if type(written) is not int or not least <= written <= most:
            raise ValueError(written)
        return int(written)

    return Rule(f"a whole number from {least} to {most}", int, convert)


def choice(*names: str) -> Rule:
    """One of a fixed set of words."""

    def convert(written: Any) -> str:
        if written not in names:
            raise ValueError(written)
        return str(written)

    return Rule(f"one of {', '.join(names)}", str, convert)


def fraction() -> Rule:
    """Numbers from 0 to 1."""

    def convert(written: Any) -> float:
        if isinstance(written, bool) or not isinstance(written, str | int | float):
            raise TypeError(type(written).__name__)
        number = float(written)
        if not 0 <= number <= 1:
            raise ValueError(written)
        return number

    return Rule("a number from 0 to 1", str, convert)


def flag() -> Rule:
    """True or false."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

    def convert(written: Any) -> bool:
        if isinstance(written, bool):
            return written
        word = _text(written).lower()
        if word not in words:
            raise ValueError(written)
        return words[word]

    return Rule("true or false", bool, convert)


def text(allowed: str, pattern: str) -> Rule:
    """Text that matches a regular expression as a whole; `allowed` describes it in words."""

    def convert(written: Any) -> str:
        if not re.fullmatch(pattern, _text(written)):
            raise ValueError(written)
        return str(written)

    return Rule(allowed, str, convert)


def url(local: str | None, *remote: str) -> Rule:
    """A URL: the scheme `local`, if there is one, needs no host, those of `remote` do."""

    def convert(written: Any) -> str:
        parts = urlsplit(_text(written))
        _ = parts.port  # raises ValueError unless it is a port
        has_place = parts.scheme == local or (parts.scheme in remote and parts.hostname)
        if not has_place or "://" not in written or re.search(r"\s", written):
            raise ValueError(written)
        return str(written)

    hosts = ", ".join(f"{scheme}://user:password@host:port/…" for scheme in remote)
    return Rule(f"a URL: {local}:// or {hosts}", str, convert)


def cluster(local: str | None, *remote: str) -> Rule:
    """The URLs of one cluster's servers as one text, separated by commas; or a URL of `local`.

    They are a list in TOML, separated by commas or blanks elsewhere.
    """
    one = url(local, *remote)

    def convert(written: Any) -> str:
        items: Iterable[Any] = _NEXT_URL.split(written) if isinstance(written, str) else written
        found = [one.convert(item) for item in items]
        parts = [urlsplit(url) for url in found]
        is_mixed = len(found) > 1 and any(part.scheme == local for part in parts)
        if not found or is_mixed or any("," in (part.hostname or "") for part in parts):
            raise ValueError(written)
        return ",".join(found)

    return Rule(f"{one.allowed}, or a list of such URLs", str, convert)


def clusters(*schemes: str) -> Rule:
    """Clusters: a list of URLs or of lists of them in TOML, separated by blanks elsewhere."""
    one = cluster(None, *schemes)

    def convert(written: Any) -> tuple[str, ...]:
        items: Iterable[Any] = written.split() if isinstance(written, str) else written
        return tuple(one.convert(item) for item in items)

    places = ", ".join(f"{scheme}://user:password@host:port/…" for scheme in schemes)
    return Rule(f"a list of URLs, or of lists of them: {places}", str, convert)


def flag_or_empty() -> Rule:
    """True or false; None for an empty text."""
    either = flag()
    return Rule(
        "true, false or empty",
        str,
        lambda written: None if written in ("", None) else either.convert(written),
    )


def address() -> Rule:
    """An IP address of this machine to listen on."""
    return Rule("an IP address", str, lambda written: str(ipaddress.ip_address(_text(written))))


def path(empty: Callable[[], Path | None]) -> Rule:
    """A path, with `~` for the home; `empty` gives the meaning of an empty text."""

    def convert(written: Any) -> Path | None:
        if written is None or written == "":
            return empty()
        return Path(written).expanduser()

    return Rule("a path", str, convert)


def readable_colour(ground: str) -> Rule:
    """A colour `#rrggbb` on which, and in which on that ground, text can be read; or empty.

    Text of the ground's colour is on buttons, and links are in the colour on the ground: WCAG 2.2
    (1.4.3) wants a contrast of 4.5.
    """

    def convert(written: Any) -> str:
        named = _text(written).lower()
        if named and not (_COLOUR.fullmatch(named) and _contrast(named, ground) >= CONTRAST):
            raise ValueError(written)
        return named

    return Rule(
        f"empty or a colour #rrggbb with a contrast of {CONTRAST} to {ground}", str, convert
    )


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, from 1 to 21 (WCAG 2.2, relative luminance)."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(named: str) -> float:
    parts = (int(named[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def networks() -> Rule:
    """IP networks: a list in TOML, separated by commas elsewhere."""

    def convert(written: Any) -> tuple[IPv4Network | IPv6Network, ...]:
        items: Iterable[Any] = written.split(",") if isinstance(written, str) else written
        named = [item.strip() if isinstance(item, str) else str(item) for item in items]
        return tuple(ipaddress.ip_network(item) for item in named if item)

    return Rule("a list of networks such as 10.0.0.0/8, fd00::/8", str, convert)


def ports() -> Rule:
    """TCP ports: a list in TOML, separated by commas elsewhere."""
    each = whole(1, 65535)

    def convert(written: Any) -> tuple[int, ...]:
        items: Iterable[Any] = written.split(",") if isinstance(written, str) else written
        named = [item.strip() if isinstance(item, str) else item for item in items]
        return tuple(each(item) for item in named if item != "")

    return Rule("a list of ports such as 80, 443", str, convert)


def names(*known: str) -> Rule:
    """Some of a fixed set of words: a list in TOML, separated by commas elsewhere."""
    each = choice(*known)

    def convert(written: Any) -> tuple[str, ...]:
        items: Iterable[Any] = written.split(",") if isinstance(written, str) else written
        named = [item.strip() if isinstance(item, str) else item for item in items]
        return tuple(each(item) for item in named if item != "")

    return Rule(f"a list of {', '.join(known)}", str, convert)


def identifiers() -> Rule:
    """Ids, such as of accounts: a list in TOML, separated by commas elsewhere."""
    each = text("an id", r"[^\s,]{1,128}")

    def convert(written: Any) -> tuple[str, ...]:
        items: Iterable[Any] = written.split(",") if isinstance(written, str) else written
        named = [_text(item).strip() for item in items]
        return tuple(each(item) for item in named if item)

    return Rule("a list of ids", str, convert)


def origins() -> Rule:
    """Origins of web pages: a list in TOML, separated by commas elsewhere."""

    def convert(written: Any) -> tuple[str, ...]:
        items: Iterable[Any] = written.split(",") if isinstance(written, str) else written
        named = tuple(_text(item).strip().rstrip("/").lower() for item in items)
        for item in named:
            if item and not _ORIGIN.fullmatch(item):
                raise ValueError(item)
        return tuple(item for item in named if item)

    return Rule("a list of origins such as https://portal.example.com", str, convert)


def durations() -> Rule:
    """Durations in seconds, at least one: a list in TOML, separated by commas elsewhere."""

    def convert(written: Any) -> tuple[float, ...]:
        items: Iterable[Any] = written.split(",") if isinstance(written, str) else written
        found = tuple(_seconds(item) for item in items)
        if not found:
            raise ValueError(written)
        return found

    return Rule("a list of seconds above 0 such as 5, 300, 1800", str, convert)


def named_durations() -> Rule:
    """Durations by name: a table in TOML; `name=5,60;other=5` elsewhere."""
    each = durations()

    def convert(written: Any) -> dict[str, tuple[float, ...]]:
        if isinstance(written, str):
            pairs = [pair.partition("=") for pair in written.split(";") if pair.strip()]
            named = [(name.strip(), steps) for name, _equals, steps in pairs]
        elif isinstance(written, dict):
            named = list(written.items())
        else:
            raise TypeError(type(written).__name__)
        found = {name.lower(): each.convert(steps) for name, steps in named}
        if len(found) < len(named):
            raise ValueError(written)  # twice the same name
        return found

    return Rule("a table such as { object = [5, 300] }, or text such as object=5,300", str, convert)


def _seconds(written: Any) -> float:
    if isinstance(written, bool) or not isinstance(written, str | int | float):
        raise TypeError(type(written).__name__)
    seconds = float(written)
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(written)
    return seconds


def strings(allowed: str, pattern: str, *, optional: bool = False) -> Rule:
    """A list of texts, at least one, each of which matches as a whole.

    `optional`: () is a permitted default.
    """
    each = text(allowed, pattern)

    def convert(written: Any) -> tuple[str, ...]:
        if optional and written == ():
            return ()
        if not isinstance(written, list | tuple) or not written:
            raise TypeError(type(written).__name__)
        return tuple(each(item) for item in written)

    return Rule(f"a list, not empty, of {allowed}", str, convert)


def words(allowed: str, pattern: str) -> Rule:
    """Any number of texts, each of which matches as a whole: a list in TOML, separated by commas
    elsewhere."""
    each = text(allowed, pattern)

    def convert(written: Any) -> tuple[str, ...]:
        items: Iterable[Any] = written.split(",") if isinstance(written, str) else written
        named = [item.strip() if isinstance(item, str) else item for item in items]
        return tuple(each(item) for item in named if item != "")

    return Rule(f"a list of {allowed}", str, convert)


def table(allowed: str, value: Rule) -> Rule:
    """A table whose values all follow one rule."""

    def convert(written: Any) -> dict[str, Any]:
        if not isinstance(written, dict):
            raise TypeError(type(written).__name__)
        return {str(key): value(member) for key, member in written.items()}

    return Rule(allowed, str, convert)


def tables(allowed: str, value: Rule) -> Rule:
    """A list of tables whose values all follow one rule."""
    each = table(allowed, value)

    def convert(written: Any) -> tuple[dict[str, Any], ...]:
        if not isinstance(written, list | tuple):
            raise TypeError(type(written).__name__)
        return tuple(each(item) for item in written)

    return Rule(allowed, str, convert)


def scalar() -> Rule:
    """A text, number or boolean."""

    def convert(written: Any) -> str | int | float | bool:
        if not isinstance(written, str | int | float):
            raise TypeError(type(written).__name__)
        return written

    return Rule("a text, a number, true or false", str, convert)


def json_table(allowed: str) -> Rule:
    """A table of any JSON values: no dates, NaN or infinities."""

    def convert(written: Any) -> dict[str, Any]:
        if not isinstance(written, dict):
            raise TypeError(type(written).__name__)
        found: dict[str, Any] = json.loads(json.dumps(written, allow_nan=False))
        return found

    return Rule(allowed, str, convert)


def json_tables(allowed: str) -> Rule:
    """A list of such tables."""
    one = json_table(allowed)

    def convert(written: Any) -> tuple[dict[str, Any], ...]:
        if not isinstance(written, list | tuple):
            raise TypeError(type(written).__name__)
        return tuple(map(one, written))

    return Rule(allowed, str, convert)


def mask(value: str) -> str:
    """The text without the passwords of the URLs in it."""
    return _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", value)


def _text(written: Any) -> str:
    if not isinstance(written, str):
        raise TypeError(type(written).__name__)
    return written
