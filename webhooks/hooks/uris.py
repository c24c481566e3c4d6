"""A hook's URL: its endpoint, and text to which RFC 3986 or the resolver gives no meaning.

Earlier versions stored such URLs. They sent a blank as `%20`, and called port 80 for port 0.
"""

import re
import unicodedata
from functools import lru_cache
from urllib.parse import urlsplit

MAX_LABEL, MAX_NAME = 63, 253
"""The most characters of a label and of a whole name (RFC 1035, 2.3.4; without the final dot)."""

_PLAIN = re.compile(
    r"https?://[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?){0,3}"
    r"(?::[1-9][0-9]*)?(?:[/?](?:[A-Za-z0-9/._~!$&'()*+,;=:@?\[\]-]|%[0-9A-Fa-f]{2})*)?",
)
"""Nearly all URLs, which need no closer look."""
_AUTHORITY = re.compile(r"[a-z]+://([^/?#]*)", re.IGNORECASE)
_LABEL = re.compile(r"[A-Za-z0-9_-]+")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_EXCLUDED = frozenset('"<>^`{|}')
_UNSEEN_CATEGORIES = frozenset(("Zs", "Zl", "Zp", "Cc", "Cf", "Cs"))
_UNSEEN = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0")
"""Characters of other categories that are displayed as nothing or as a blank."""


_PORTS = {"http": 80, "https": 443}

# The second form is no URL, as its port is no number: a password with a slash that should be %2F.
_USER = re.compile(r"(?<=//)(?:[^/?#]*@|[^/?#@:\[]*:(?!\d*(?:[/?#]|$))[^?#]*@)")


@lru_cache(maxsize=4096)
def endpoint_of(uri: str) -> str:
    """The endpoint of a URL: scheme, host and port; the URL itself if it has none."""
    try:
        parts = urlsplit(uri)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return uri
    if not parts.hostname or port is None:
        return uri
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def without_user(uri: str) -> str:
    """The URL without user and password, so that readers of records do not see them."""
    return _USER.sub("", uri, count=1)


def uri_fault(uri: str) -> str | None:
    """The fault of a hook's URL, for people, with its remedy; None if it has none.

    Checks text, host and port only; scheme, backslashes and addresses are left to the transport's
    rules. Characters beyond ASCII that can be seen are permitted (RFC 3987), and the brackets that
    the URL standard permits in a query.
    """
    if _PLAIN.fullmatch(uri):
        return None
    if (fault := _text_fault(uri)) is not None:
        return fault
    authority = _AUTHORITY.match(uri)
    if authority is None:
        return None
    host, port = _host_and_port(authority[1].rpartition("@")[2])
    if port.isdecimal() and not int(port[-9:]):
        return port_fault()
    return host_fault(host) if host.isascii() and "%" not in host else None


def port_fault() -> str:
    """The fault of port 0, which names no port (RFC 6335, 6)."""
    return "port 0 is no port: write one from 1 to 65535, or none"


def host_fault(host: str) -> str | None:
    """Why no resolver can find a host (RFC 1035, 2.3; RFC 1123, 2.1); None if one might.

    `host` is in ASCII, an IPv6 address in brackets. One full stop may follow the name.
    """
    if not host or host.startswith("["):
        return None
    name = host.removesuffix(".")
    if len(name) > MAX_NAME:
        return f"its host has {len(name)} characters: {MAX_NAME} are allowed"
    if name.startswith("-"):
        return f"its host {host} begins with a hyphen"
    for label in name.split("."):
        if not label:
            return f"its host {host} has an empty part: two full stops in a row, or one in front"
        if len(label) > MAX_LABEL:
            return f"a part of its host has {len(label)} characters: {MAX_LABEL} are allowed"
        if not _LABEL.fullmatch(label):
            return f"its host {host} has other characters than letters, digits, hyphens and _"
    return None


def _text_fault(uri: str) -> str | None:
    for place, character in enumerate(uri):
        if character.isascii() and character.isalnum():
            continue
        if unicodedata.category(character) in _UNSEEN_CATEGORIES or character in _UNSEEN:
            return f"it holds {_named(character)} {_where(uri, place)}: remove it{_or(character)}"
        if character in _EXCLUDED:
            return (
                f"it holds the character {character} {_where(uri, place)}: write {_hex(character)}"
            )
    if (stray := _STRAY_PERCENT.search(uri)) is not None:
        return f"it holds a % without two hex digits {_where(uri, stray.start())}: write %25"
    return None


def _named(character: str) -> str:
    code = f"U+{ord(character):04X}"
    if character == " ":
        return "a blank"
    return f"an unseen character, {unicodedata.name(character, 'control character')} ({code})"


def _where(uri: str, place: int) -> str:
    if not uri[place:].strip() or place == len(uri) - 1:
        return "at its end"
    return "at its beginning" if not uri[:place].strip() else f"at character {place + 1}"


def _or(character: str) -> str:
    surrogate = unicodedata.category(character) == "Cs"
    return "" if surrogate else f", or write {_hex(character)} if the path has it"


def _hex(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _host_and_port(text: str) -> tuple[str, str]:
    """Host and port of an authority; the port is empty if there is none."""
    if text.startswith("["):
        host, _, rest = text.partition("]")
        return f"{host}]", rest.removeprefix(":")
    host, _, port = text.partition(":")
    return host, port
