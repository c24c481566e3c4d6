"""From the url of a hook to what goes on the wire."""

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

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9/._~!$&'()*+,;=:@?-]*")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class UrlRefusedError(ValueError):
    """A url no request is made to; the text is `scheme`, `credentials`, `port` or `url`.

    `detail` is for people: what is wrong, and what is allowed.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind)
        self.detail = detail


@frozen
class Target:
    """An endpoint (scheme, host and port) and the path to ask it for, without the query.

    `host` is in ASCII (IDNA), an IPv6 address in brackets. `port` None: the scheme's.
    `credentials`: what stands before the @, percent-encoded; None without any.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    credentials: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """What may be trusted alike (RFC 6454): scheme, host and port."""
        port = _DEFAULT_PORTS[self.scheme] if self.port is None else self.port
        return self.scheme, self.host, port

    @property
    def address(self) -> str:
        """The host as a resolver wants it."""
        return self.host.strip("[]")

    @property
    def authority(self) -> str:
        """Host and port as a url has them."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def host_field(self) -> str:
        """Host and port as a request names them (RFC 9110, 7.2): without the scheme's own port."""
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
    """Where a url leads, by requests' rules (IDNA, percent-encoding).

    Raises UrlRefusedError: only http and https, no control characters, nothing ambiguous.
    """
    if _CONTROL.search(url):
        raise UrlRefusedError("url", "it holds control characters")
    return _parsed(_halves(url)[0])


def request_path(url: str) -> str:
    """Path and query as a request asks for them; what is not ASCII is left to urllib3 to encode."""
    base, query = _halves(url)
    return _parsed(base).path + query


def encoded_path(url: str) -> str:
    """As `request_path`, and encoded as urllib3 does it."""
    path = request_path(url)
    if _PLAIN.fullmatch(path):
        return path
    return parse_url(f"http://host{path}").request_uri


def absolute_form(url: str) -> str:
    """What a proxy is asked for (RFC 9112, 3.2.2): the whole url but for the credentials."""
    target = target_of(url)
    return f"{target.scheme}://{target.authority}{encoded_path(url)}"


def redirected(url: str, location: str) -> str:
    """Where a `Location` leads that came from `url` (RFC 9110, 10.2.2). Raises UrlRefusedError."""
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise UrlRefusedError("url", str(error)) from error


def _halves(url: str) -> tuple[str, str]:
    """A url up to its query, and the query with its question mark; the fragment is dropped."""
    base, mark, query = url.partition("#")[0].partition("?")
    return base, mark + query


# Parsing costs as much as sending. A hook's uri is always the same, while the query of a GET never
# is: so it is kept out.
@lru_cache(maxsize=1024)
def _parsed(base: str) -> Target:
    if not _HTTP.match(base):
        raise UrlRefusedError("scheme", "only http:// and https:// are called")
    if "\\" in base:
        # Browsers take it for a slash, other programs for a letter: a host that depends on who
        # reads the url is no host.
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
    return Target(parts.scheme, parts.host, parts.port, parts.request_uri, parts.auth)


def _check_host(host: str) -> None:
    """Refuse hosts that not every reader takes for the same."""
    if "%" in host:
        raise UrlRefusedError("url", f"its host {host} holds a %")
    last = host.rstrip(".").rpartition(".")[2]
    if _NUMBER.fullmatch(last) and not _is_address(host):
        # The URL standard, 3.5: a host that ends in a number is an IPv4 address or nothing.
        raise UrlRefusedError("url", f"its host {host} ends in a number, but is no IPv4 address")


def _is_address(host: str) -> bool:
    """Whether the resolver takes a host for an address, in whatever spelling; asks nobody."""
    try:
        socket.getaddrinfo(host.strip("[]"), None, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return False
    return True
