"""Converts a hook's URL to the parts of a request."""

import re
import socket
from base64 import b64encode
from functools import lru_cache
from urllib.parse import unquote_to_bytes, urljoin

from attrs import frozen
from requests import PreparedRequest
from requests.exceptions import RequestException
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from callboard.webhooks.hooks.uris import host_fault, port_fault

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9/._~!$&'()*+,;=:@?-]*")
_USUAL = re.compile(
    r"(https?://[a-z0-9.-]+(?::[1-9][0-9]{0,3})?)((?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?|/)"
)
"""Endpoints, and paths that are requested as they are written: requests encodes nothing in them."""
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class UrlRefusedError(ValueError):
    """A URL that is refused; the text is `scheme`, `credentials`, `port` or `url`.

    `detail` is for people: the fault and the permitted values.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind)
        self.detail = detail


@frozen
class Target:
    """An endpoint (scheme, host and port) and the path to request, without the query.

    `host` is in ASCII (IDNA), an IPv6 address in brackets. `port` None: the scheme's.
    `credentials`: the part before the @, percent-encoded; None without any.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    credentials: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """The URL's origin (RFC 6454): scheme, host and port."""
        port = _DEFAULT_PORTS[self.scheme] if self.port is None else self.port
        return self.scheme, self.host, port

    @property
    def address(self) -> str:
        """The host in the form for a resolver."""
        return self.host.strip("[]")

    @property
    def authority(self) -> str:
        """Host and port as in a URL."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def host_field(self) -> str:
        """Host and port as in a request (RFC 9110, 7.2): without the scheme's default port."""
        return self.host if self.port == _DEFAULT_PORTS[self.scheme] else self.authority

    @property
    def authorization(self) -> str | None:
        """The credentials as basic authorization (RFC 7617), if there are any."""
        if self.credentials is None:
            return None
        user, _, password = self.credentials.partition(":")
        pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
        return f"Basic {b64encode(pair).decode()}"


def target_of(url: str) -> Target:
    """A URL's destination, by requests' rules (IDNA, percent-encoding).

    Raises UrlRefusedError: only http and https, no control characters, nothing ambiguous.
    """
    if _CONTROL.search(url):
        raise UrlRefusedError("url", "it holds control characters")
    return _parsed(_halves(url)[0])


def request_path(url: str) -> str:
    """Path and query for a request; urllib3 encodes characters beyond ASCII."""
    base, query = _halves(url)
    return _parsed(base).path + query


def encoded_path(url: str) -> str:
    """Like `request_path`, encoded in urllib3's way."""
    path = request_path(url)
    if _PLAIN.fullmatch(path):
        return path
    return parse_url(f"http://host{path}").request_uri


def absolute_form(url: str) -> str:
    """The request target for a proxy (RFC 9112, 3.2.2): the whole URL without credentials."""
    target = target_of(url)
    return f"{target.scheme}://{target.authority}{encoded_path(url)}"


def redirected(url: str, location: str) -> str:
    """The destination of a `Location` from `url` (RFC 9110, 10.2.2). Raises UrlRefusedError."""
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise UrlRefusedError("url", str(error)) from error


def _halves(url: str) -> tuple[str, str]:
    """A url up to its query, and the query with its question mark; the fragment is dropped."""
    base, mark, query = url.partition("#")[0].partition("?")
    return base, mark + query


# Parsing takes as long as sending. A hook's URL is constant, but the query of each GET is new, so
# it is excluded.
@lru_cache(maxsize=1024)
def _parsed(base: str) -> Target:
    if (usual := _USUAL.fullmatch(base)) is None:
        return _read(base)
    endpoint = _read(usual[1])  # Many hooks have it in common.
    return Target(endpoint.scheme, endpoint.host, endpoint.port, usual[2])


@lru_cache(maxsize=1024)
def _read(base: str) -> Target:
    if not _HTTP.match(base):
        raise UrlRefusedError("scheme", "only http:// and https:// are called")
    if "\\" in base:
        # Browsers read it as a slash, other programs as an ordinary character: a host that depends
        # on the parser is no host.
        raise UrlRefusedError("url", "it holds a backslash: write / or %5C")
    prepared = PreparedRequest()
    try:
        prepared.prepare_url(base, None)
        parts = parse_url(prepared.url or "")
    except (RequestException, LocationParseError) as error:
        raise UrlRefusedError("url", str(error)) from error
    if not parts.scheme or not parts.host:
        raise UrlRefusedError("url", "it names no host")
    _check_host(parts.host)
    if parse_url(base).port == 0:  # requests removes it, and would call the scheme's port.
        raise UrlRefusedError("url", port_fault())
    return Target(parts.scheme, parts.host, parts.port, parts.request_uri, parts.auth)


def _check_host(host: str) -> None:
    """Refuse hosts that parsers interpret differently."""
    if "%" in host:
        raise UrlRefusedError("url", f"its host {host} holds a %")
    last = host.rstrip(".").rpartition(".")[2]
    if _NUMBER.fullmatch(last) and not _is_address(host):
        # The URL standard, 3.5: a host that ends in a number is an IPv4 address or nothing.
        raise UrlRefusedError("url", f"its host {host} ends in a number, but is no IPv4 address")
    if (fault := host_fault(host)) is not None:
        raise UrlRefusedError("url", fault)


def _is_address(host: str) -> bool:
    """Whether the resolver reads a host as an address, in any spelling; makes no look-up."""
    try:
        socket.getaddrinfo(host.strip("[]"), None, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return False
    return True
