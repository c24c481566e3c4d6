"""The request that follows from a redirect (RFC 9110, 15.4)."""

import pytest

from callboard.adapters.http.redirects import HttpRequest, redirection
from callboard.adapters.http.target import UrlRefusedError
from callboard.webhooks.retries.outcome import Response

FOR_ANYBODY = tuple(
    (name, "1")
    for name in ("Accept", "Content-Type", "User-Agent", "webhook-id", "X-Account-ID", "X-Hook-ID")
)
OWN = (("Authorization", "Bearer x"), ("webhook-signature", "v1,x"), ("X-Key", "x"))
REQUEST = HttpRequest("POST", "https://a.example/in", (*FOR_ANYBODY, *OWN), b"x")


def follow(status=307, location="/b", request=REQUEST, **options):
    headers = {} if location is None else {"location": location}
    return redirection(request, Response(status, headers, b""), **options)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_same_request_goes_to_another_place_of_the_same_origin(status):
    url = "https://a.example/b"
    assert follow(status) == HttpRequest("POST", url, REQUEST.headers, b"x")


@pytest.mark.parametrize("url", ["https://b.example/", "https://a.example:8443/"])
def test_another_origin_gets_no_secret_and_no_signature(url):
    assert follow(location=url) == HttpRequest("POST", url, FOR_ANYBODY, b"x")


def test_after_see_other_it_is_a_get_without_content():
    found = follow(303)
    assert (found.method, found.body) == ("GET", None)
    assert found.headers == tuple(h for h in REQUEST.headers if h[0] != "Content-Type")
    head = HttpRequest("HEAD", REQUEST.url, REQUEST.headers)
    assert follow(303, request=head).method == "HEAD"


@pytest.mark.parametrize(
    ("status", "location"), [(200, "/b"), (300, "/b"), (304, "/b"), (305, "/b"), (307, None)]
)
def test_other_responses_are_no_redirects(status, location):
    assert follow(status, location) is None


def test_what_was_secure_stays_so_unless_that_is_lifted():
    with pytest.raises(UrlRefusedError, match="redirect"):
        follow(location="http://a.example/")
    assert follow(location="http://a.example/", downgrade=True).url == "http://a.example/"
