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
    """Where a request goes: the endpoint, and its path with the query.

    `host` is in ASCII (IDNA), an IPv6 address in brackets. `port` None: the scheme's.
    """

    url: str
    scheme: str
    host: str
    port: int | None
    path: str


@lru_cache(maxsize=2048)
def target_of(url: str) -> Target:
    """The parts of a url, percent-encoded by requests' rules; remembered, since hooks repeat.

    Raises UrlRefusedError: only http and https, no user and password, no control characters.
    """
    if not _HTTP.match(url):
        raise UrlRefusedError("scheme")
    if _CONTROL.search(url):
        raise UrlRefusedError("url")
    prepared = PreparedRequest()
    try:
        prepared.prepare_url(url, None)
        parts = parse_url(prepared.url or "")
    except (RequestException, LocationParseError) as error:
        raise UrlRefusedError("url") from error
    if parts.auth is not None:
        raise UrlRefusedError("credentials")
    if not parts.scheme or not parts.host:
        raise UrlRefusedError("url")
    return Target(parts.url, parts.scheme, parts.host, parts.port, parts.request_uri)
