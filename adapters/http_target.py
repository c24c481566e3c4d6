"""From the url of a hook to what goes on the wire."""

import re
from functools import lru_cache

from attrs import frozen
from requests import PreparedRequest
from requests.exceptions import RequestException
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HTTP = re.compile(r"https?://", re.IGNORECASE)


class UrlRefusedError(ValueError):
    """A url no request is made to; the text is `scheme`, `credentials` or `url`."""


@frozen
class Target:
    """An endpoint (scheme, host and port) and the path to ask it for, without the query.

    `host` is in ASCII (IDNA), an IPv6 address in brackets. `port` None: the scheme's.
    """

    scheme: str
    host: str
    port: int | None
    path: str


def target_of(url: str) -> Target:
    """Where a url leads, by requests' rules (IDNA, percent-encoding).

    Raises UrlRefusedError: only http and https, no user and password, no control characters.
    """
    if _CONTROL.search(url):
        raise UrlRefusedError("url")
    return _parsed(_halves(url)[0])


def request_path(url: str) -> str:
    """Path and query as a request asks for them; what is not ASCII is left to urllib3 to encode."""
    base, query = _halves(url)
    return _parsed(base).path + query


def _halves(url: str) -> tuple[str, str]:
    """A url up to its query, and the query with its question mark; the fragment is dropped."""
    base, mark, query = url.partition("#")[0].partition("?")
    return base, mark + query


# Parsing costs as much as sending. A hook's uri is always the same, while the query of a GET never
# is: so it is kept out.
@lru_cache(maxsize=1024)
def _parsed(base: str) -> Target:
    if not _HTTP.match(base):
        raise UrlRefusedError("scheme")
    prepared = PreparedRequest()
    try:
        prepared.prepare_url(base, None)
        parts = parse_url(prepared.url or "")
    except (RequestException, LocationParseError) as error:
        raise UrlRefusedError("url") from error
    if parts.auth is not None:
        raise UrlRefusedError("credentials")
    if not parts.scheme or not parts.host:
        raise UrlRefusedError("url")
    return Target(parts.scheme, parts.host, parts.port, parts.request_uri)
