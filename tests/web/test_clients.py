"""Which address a request counts for, behind proxies and in front of liars."""

from ipaddress import ip_network

import pytest

from callboard.web.access.clients import client_address
from support.api import ADMIN, Api, client_of

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "headers", "trusted", "client"),
    [
        ("10.0.0.1", ["1.2.3.4"], (), "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4"], PROXIES, "1.2.3.4"),
        ("10.0.0.1", ["9.9.9.9, 1.2.3.4"], PROXIES, "1.2.3.4"),
        ("10.0.0.1", ["9.9.9.9", "1.2.3.4, 10.0.0.2"], PROXIES, "1.2.3.4"),
        ("::ffff:10.0.0.1", ["2001:db8::1,fd00::2"], PROXIES, "2001:db8::1"),
        ("8.8.8.8", ["1.2.3.4"], PROXIES, "8.8.8.8"),
        ("10.0.0.1", [], PROXIES, "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3"], PROXIES, "10.0.0.3"),
        ("10.0.0.1", ["nonsense"], PROXIES, "10.0.0.1"),
        ("", ["1.2.3.4"], PROXIES, ""),
    ],
)
def test_the_address_is_the_last_that_no_trusted_proxy_has(peer, headers, trusted, client):
    assert client_address(peer, headers, trusted) == client


def tries(api, address):
    """Statuses of wrong tokens from there, until it has to wait."""
    for number in range(20):
        headers = {"X-Forwarded-For": f"9.9.9.{number}, {address}"}
        guess = f"{ADMIN[:8]}-{number}"
        status = api.call("GET", "/v2/webhooks", token=guess, headers=headers)
        if status.status_code == 429:
            return
    raise AssertionError("nobody was slowed down")


def test_who_tries_tokens_behind_a_proxy_locks_out_nobody_else(tmp_path):
    # The client of the tests has no address: a proxy that is known by none cannot be trusted.
    api = Api(tmp_path, trusted_proxies=(ip_network("127.0.0.0/8"),))
    api.client = client_of(api.app, "127.0.0.1")
    tries(api, "1.2.3.4")
    other = {"X-Forwarded-For": "1.2.3.5"}
    assert api.call("GET", "/v2/webhooks", headers=other).status_code == 200
    same = {"X-Forwarded-For": "1.2.3.4"}
    assert api.call("GET", "/v2/webhooks", headers=same).status_code == 429
