"""Uris that RFC 3986 or the resolver gives no meaning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests import PreparedRequest
from requests.exceptions import RequestException
from urllib3.util import parse_url

from callboard.actors.hooks.parser import HookParser
from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.http.target import UrlRefusedError, target_of
from callboard.config.logs import logger
from callboard.webhooks.hooks.uris import uri_fault

LONGEST = ".".join(["a" * 62] * 4) + ".a"
"""The longest name of a host: 253 characters."""
NOWHERE = [
    ("http://hooks.example:0/", "port 0 is no port"),
    ("http://hooks.example:000/", "port 0 is no port"),
    ("http://[2001:db8::1]:0/", "port 0 is no port"),
    ("http://user@hooks.example:0/", "port 0 is no port"),
    ("http://a..b/", "an empty part"),
    ("http://a../", "an empty part"),
    ("http://.a/", "an empty part"),
    ("http://-a.example/", "begins with a hyphen"),
    ("http://a!b.example/", "other characters than letters"),
    ("http://a~b/", "other characters than letters"),
    (f"http://{'a' * 64}.example/", "has 64 characters: 63 are allowed"),
    (f"http://{'.'.join(['a' * 60] * 5)}/", "has 304 characters: 253 are allowed"),
    (f"http://{LONGEST}a/", "has 254 characters: 253 are allowed"),
    (f"http://{LONGEST}a./", "has 254 characters: 253 are allowed"),
]
"""They name no endpoint, and are not sent even if they are stored."""

FAULTY = [
    *NOWHERE,
    ("http://hooks.example/x ", "a blank at its end: remove it, or write %20"),
    (" http://hooks.example/x", "a blank at its beginning"),
    ("http://hooks.example/a b", "a blank at character 23"),
    ("http://hooks.example/?q= ", "a blank at its end"),
    (
        "http://hooks.example/\u00a0",
        "NO-BREAK SPACE (U+00A0) at its end: remove it, or write %C2%A0",
    ),
    ("http://hooks.example/\u200b", "ZERO WIDTH SPACE (U+200B) at its end"),
    ("http://hooks.example/\u200b/x", "ZERO WIDTH SPACE (U+200B) at character 22"),
    ("http://hooks.example/\ufeff", "ZERO WIDTH NO-BREAK SPACE (U+FEFF)"),
    ("http://hooks.example/\u202egpj", "RIGHT-TO-LEFT OVERRIDE (U+202E)"),
    ("http://hooks.example/\u2028", "LINE SEPARATOR (U+2028)"),
    ("http://hooks.example/\u3000", "IDEOGRAPHIC SPACE (U+3000)"),
    ("http://hooks.example/\u3164", "HANGUL FILLER (U+3164)"),
    ("http://hooks.example/\x7f", "control character (U+007F)"),
    ("http://hooks.example/\ud800", "(U+D800) at its end: remove it"),
    ("http://ho\u00adoks.example/", "SOFT HYPHEN (U+00AD)"),
    ("http://hooks.example/<x>", "the character < at character 22: write %3C"),
    ("http://hooks.example/{id}", "the character {"),
    ("http://hooks.example/?a=b|c", "the character |"),
    ("http://hooks.example/%zz", "a % without two hex digits"),
    ("http://hooks.example/?a=100%", "a % without two hex digits at its end: write %25"),
]

GOOD = [
    "http://hooks.example",
    "https://hooks.example/a/b?c=d&e[]=1",
    "HTTPS://HOOKS.example:8443/",
    "http://hooks.example./",
    "http://hooks.example:/",
    "http://a_b:80/",
    "http://a-.example/",
    "http://10.1.2.3/",
    "http://0x7f.1/",
    "http://[2001:db8::1]:8080/",
    "http://b\u00fccher.example/gr\u00f6\u00dfe?q=\u4f60",
    "http://hooks.example/%20%C2%A0?a=%7a",
    "http://hooks.example/~a!$'()*+,;=:@",
    f"http://{'a' * 63}.example/",
    "http://user:p%40ss@hooks.example/",
]


@pytest.mark.parametrize(("uri", "fault"), FAULTY)
def test_a_uri_without_a_meaning_is_refused_with_its_remedy(uri, fault):
    assert fault in (uri_fault(uri) or "")
    refusal = EndpointRules(AddressGuard()).refusal(uri) or ""
    assert refusal.startswith("refused: ")
    assert fault in refusal


@pytest.mark.parametrize("uri", GOOD)
def test_a_uri_with_a_meaning_has_no_fault(uri):
    assert uri_fault(uri) is None


@pytest.mark.parametrize("uri", [uri for uri, _fault in NOWHERE])
def test_a_stored_uri_that_names_no_endpoint_is_sent_nowhere_else(uri):
    with pytest.raises(UrlRefusedError, match="url"):
        target_of(uri)


@given(
    st.text(st.sampled_from("ab.-_%/?:0189[]@ \u00a0")).map("http://{}".format)
    | st.text().map("http://a.example/{}".format)
)
def test_the_quick_check_passes_no_fault(uri):
    if uri_fault(uri) is None:
        assert uri_fault(f"{uri}#\u00e4") is None, (
            "with a fragment the uri takes the thorough check"
        )


def test_a_stored_hook_with_a_faulty_uri_is_listed_and_goes_on():
    parser = HookParser(["object"], logger())
    document = {
        "_id": "h",
        "pvt_account_id": "acme",
        "hook": "object",
        "uri": "http://hooks.example/x ",
    }
    assert parser.stored(document).uri == "http://hooks.example/x "
    assert [(p.account_id, p.hook_id) for p in parser.problems] == [("acme", "h")]
    assert "a blank at its end" in parser.problems[0].reason
    assert parser.stored({**document, "uri": "http://hooks.example/x"}) is not None
    assert parser.problems == ()


@given(
    st.from_regex(
        r"https?://[a-z0-9.-]{1,9}(:[0-9]{1,4})?(/[A-Za-z0-9._~%-]{0,5}){0,3}", fullmatch=True
    )
)
def test_a_usual_url_has_the_target_that_requests_prepares(url):
    prepared = PreparedRequest()
    try:
        prepared.prepare_url(url, None)
        found = target_of(url)
    except (UrlRefusedError, RequestException):
        return
    parts = parse_url(prepared.url)
    expected = (parts.scheme, parts.host, parts.port, parts.request_uri)
    assert (found.scheme, found.host, found.port, found.path) == expected


@pytest.mark.parametrize("host", [LONGEST, f"{LONGEST}.", "a" * 63, f"{'a' * 63}."])
def test_the_longest_names_are_allowed(host):
    assert uri_fault(f"http://{host}/") is None
