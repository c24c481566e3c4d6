"""Which connections of the API are open: so many, of each client and in all."""

from ipaddress import ip_network

import pytest

from callboard.actors.api.connections import Connections


class Refusals:
    """What was refused, and to whom, since it was last asked."""

    def __init__(self):
        self._counted = []

    def count(self, reason, client):
        self._counted.append((reason, client))

    def taken(self):
        counted, self._counted = self._counted, []
        return counted


class Connection:
    """A connection that waits for its client, or is at work; `closed`: by us."""

    def __init__(self, waits=False):
        self.waits, self.closed = waits, False

    def close_now(self):
        self.closed = True


@pytest.fixture
def refusals():
    return Refusals()


def opened(connections, address, *waits):
    made = [Connection(each) for each in waits]
    for each in made:
        connections.opened(each, address)
    return made


def test_beyond_its_own_limit_a_client_has_spare_connections_for_a_few_paths(refusals):
    connections = Connections(2, refusals=refusals)
    *_usual, spare = opened(connections, "192.0.2.1", False, False, False)
    assert not spare.closed
    assert (len(connections), refusals.taken()) == (3, [])
    for path in ("/healthz", "/readyz", "/metrics"):
        assert connections.serves(spare, path)
    assert refusals.taken() == []
    assert not connections.serves(spare, "/v2/webhooks")
    assert refusals.taken() == [("too_many_connections", "192.0.2.1")]
    (other,) = opened(connections, "192.0.2.2", False)
    assert connections.serves(other, "/v2/webhooks")


def test_of_its_own_the_oldest_that_waits_makes_room(refusals):
    connections = Connections(3, refusals=refusals)
    (foreign,) = opened(connections, "192.0.2.2", True)
    first, second, third = opened(connections, "192.0.2.1", False, True, True)
    (new,) = opened(connections, "192.0.2.1", False)
    assert [each.closed for each in (foreign, first, second, third, new)] == [
        *(False, False, True, False, False)
    ]
    assert refusals.taken() == [("connection_closed", "192.0.2.1")]
    connections.closed(second)
    assert len(connections) == 4
    assert connections.serves(new, "/v2/webhooks")


def test_beyond_the_limit_of_all_the_oldest_that_waits_makes_room_whosever_it_is(refusals):
    connections = Connections(64, refusals=refusals, most=3)
    working, waiting, later = (
        opened(connections, f"192.0.2.{number}", waits)[0]
        for number, waits in enumerate((False, True, True))
    )
    (new,) = opened(connections, "192.0.2.9", False)
    assert [each.closed for each in (working, waiting, later, new)] == [False, True, False, False]
    assert connections.serves(new, "/v2/webhooks")
    assert refusals.taken() == [("connection_closed", "192.0.2.1")]


def test_there_are_32_spare_connections_and_then_one_is_refused(refusals):
    connections = Connections(64, refusals=refusals, most=1)
    opened(connections, "192.0.2.1", False)
    spare = opened(connections, "192.0.2.2", *[False] * 32)
    (refused,) = opened(connections, "192.0.2.3", False)
    assert (refused.closed, any(each.closed for each in spare)) == (True, False)
    assert refusals.taken() == [("connection_refused", "192.0.2.3")]
    spare[3].waits = True
    (new,) = opened(connections, "192.0.2.3", False)
    assert (new.closed, spare[3].closed, len(connections)) == (False, True, 33)
    assert refusals.taken() == [("connection_closed", "192.0.2.2")]


def test_the_clients_of_a_proxy_are_limited_together_only(refusals):
    proxies = [ip_network("10.0.0.0/8")]
    connections = Connections(1, proxies, refusals)
    made = opened(connections, "10.0.0.1", True, True, True)
    assert not any(each.closed for each in made)
    assert all(connections.serves(each, "/v2/webhooks") for each in made)


def test_a_host_with_ipv6_counts_as_one_client(refusals):
    connections = Connections(1, refusals=refusals)
    (first,) = opened(connections, "2001:db8::1", True)
    opened(connections, "2001:db8::2", False)
    assert first.closed
    assert refusals.taken() == [("connection_closed", "2001:db8::")]


def test_what_has_ended_is_forgotten_with_its_client():
    connections = Connections(1)
    (one,) = opened(connections, "192.0.2.1", False)
    for _time in range(2):
        connections.closed(one)
    assert (len(connections), dict(connections._counts)) == (0, {})
    (again,) = opened(connections, "192.0.2.1", False)
    assert connections.serves(again, "/v2/webhooks")
