"""URLs that a hook may have: kz_web's and kzd_webhooks' rules, to the letter."""

import pytest

from callboard.web.documents.client_url import uri_problem

BLACKLIST = {
    "hosts": ["Bad.example", 7],
    "cidrs": ["192.0.2.0/24", "198.51.100.7/24", "nothing", "2001:db8::/32"],
}


def refused_inside(uri):
    return "refused: address" if "inside" in uri else None


def problem(uri, blacklist=BLACKLIST):
    return uri_problem(uri, blacklist, refused_inside)


@pytest.mark.parametrize(
    "uri",
    [
        "http://good.example",
        "HTTPS://good.example:8443/a?b=c",
        "http://192.0.3.1/",
        "http://[2001:db9::1]/",
        "http://notbad.example",
    ],
)
def test_an_allowed_one(uri):
    assert problem(uri) is None


@pytest.mark.parametrize(
    "uri", ["", "good.example", "//good.example", "http://", "http://[::1", "http://a:99999/"]
)
def test_one_that_is_none(uri):
    message = "Field is not in the correct format"
    assert problem(uri) == {"wrong_format": {"message": message, "value": uri, "format": "uri"}}


@pytest.mark.parametrize(
    ("uri", "cause"),
    [
        ("ftp://good.example/", "the scheme must be one of http, https"),
        ("http://bad.EXAMPLE/", "bad.example is on the cluster's blacklist"),
        ("http://192.0.2.255/", "192.0.2.255 is on the cluster's blacklist"),
        ("http://198.51.100.9/", "198.51.100.9 is on the cluster's blacklist"),
        ("http://[2001:db8::9]/", "2001:db8::9 is on the cluster's blacklist"),
        ("http://inside.example/", "refused: address"),
    ],
)
def test_one_that_is_refused(uri, cause):
    assert problem(uri) == {
        "error": {"message": "invalid client URL", "value": uri, "cause": cause}
    }


@pytest.mark.parametrize("blacklist", [{}, {"hosts": "bad.example", "cidrs": None}])
def test_a_blacklist_that_is_none(blacklist):
    assert problem("http://bad.example/", blacklist) is None
