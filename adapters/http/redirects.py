"""The destination of a redirect, and the headers to send there (RFC 9110, 15.4)."""

from attrs import evolve, field, frozen

from callboard.adapters.http.target import UrlRefusedError, redirected, target_of
from callboard.webhooks.retries.outcome import Response

_KEEP, _SEE_OTHER = (301, 302, 307, 308), 303
_FOR_ANYBODY = frozenset(
    {"accept", "content-type", "user-agent", "webhook-id", "x-account-id", "x-hook-id"}
)
"""Headers without secrets or signatures. A hook's own headers may contain secrets."""


@frozen
class HttpRequest:
    """A request to make; `body` None: none."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)


def redirection(
    request: HttpRequest, response: Response, *, downgrade: bool = False
) -> HttpRequest | None:
    """The request that follows from a redirect; None for other responses.

    303 is followed with a GET. The others keep method and body: where the RFC lets a client turn a
    POST into a GET (301, 302), a webhook would count as delivered although its content was not
    sent. Another origin gets neither credentials nor signatures, nor the hook's own headers. Raises
    UrlRefusedError for a redirect from https to http unless `downgrade`, and for a `Location` that
    is no URL.
    """
    location = next((v for k, v in response.headers.items() if k.lower() == "location"), None)
    if location is None or response.status not in (*_KEEP, _SEE_OTHER):
        return None
    here, url = target_of(request.url), redirected(request.url, location)
    there = target_of(url)
    if here.scheme == "https" and there.scheme == "http" and not downgrade:
        raise UrlRefusedError("redirect", "it leads from https to http")
    headers = request.headers
    if here.origin != there.origin:
        headers = tuple(h for h in headers if h[0].lower() in _FOR_ANYBODY)
    if response.status == _SEE_OTHER and request.method != "HEAD":
        headers = tuple(h for h in headers if h[0].lower() != "content-type")
        return HttpRequest("GET", url, headers)
    return evolve(request, url=url, headers=headers)
