"""Who may connect: bounds by client and in all, and who makes room for a new connection."""

from ipaddress import ip_network

import pytest

from callboard.actors.api.connections import Connections
from callboard.web.access.refusals import Refusals

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class Client:
    """A connection; `waits`: it has sent no complete request."""

    def __init__(self, *, waits=True):
        self.waits, self.closed = waits, False

    def close_now(self):
        self.closed = True


@pytest.fixture
def refusals():
    return Refusals()


def opened(open, address, count=1, *, waits=True):
    clients = [Client(waits=waits) for _ in range(count)]
    for client in clients:
        open.opened(client, address)
    return clients


def closed(clients):
    return [client.closed for client in clients]


def test_a_slow_client_makes_room_for_the_next_of_its_address():
    open = Connections(2)
    slow, other = opened(open, A, 5), opened(open, B, 2)
    assert closed(slow) == [True, True, True, False, False]
    assert closed(other) == [False, False]
    assert len(open) == 4
    assert all(open.serves(client, "/v2") for client in (*slow[3:], *other))


def test_a_client_at_work_is_not_closed():
    open = Connections(2)
    work, slow = opened(open, A, 1, waits=False), opened(open, A, 2)
    assert (closed(work), closed(slow)) == ([False], [True, False])


def test_a_client_with_all_at_work_gets_only_the_health(refusals):
    open = Connections(2, refusals=refusals)
    opened(open, A, 2, waits=False)
    (spare,) = opened(open, A)
    assert not spare.closed
    assert [open.serves(spare, path) for path in ("/healthz", "/readyz", "/metrics", "/v2")] == [
        True,
        True,
        True,
        False,
    ]
    assert refusals.total == 1
    (other,) = opened(open, B)
    assert open.serves(other, "/v2")


def test_in_all_there_are_so_many_and_the_slowest_goes():
    open = Connections(10, most=3)
    slow, work = opened(open, A), opened(open, B, 2, waits=False)
    (new,) = opened(open, C, waits=False)
    assert (closed(slow), closed(work)) == ([True], [False, False])
    assert open.serves(new, "/v2")
    (late,) = opened(open, C)
    assert not open.serves(late, "/v2")
    assert open.serves(late, "/healthz")


def test_the_spare_ones_are_bounded_too(refusals):
    open = Connections(1, refusals=refusals)
    opened(open, A, 1, waits=False)
    spare = opened(open, A, 33)
    assert closed(spare) == [True] + [False] * 32, "one that waits makes room"
    for client in spare:
        client.waits = False
    (last,) = opened(open, A)
    assert last.closed
    assert len(open) == 33


def test_a_proxy_has_the_connections_of_all_its_clients():
    open = Connections(1, [ip_network("192.0.2.0/24")])
    assert closed(opened(open, A, 3)) == [False] * 3


def test_an_ipv6_network_is_one_client():
    open = Connections(1)
    assert closed([*opened(open, "2001:db8::1"), *opened(open, "2001:db8::2")]) == [True, False]


def test_what_has_ended_is_forgotten():
    open = Connections(1)
    (first,) = opened(open, A, waits=False)
    open.closed(first)
    open.closed(first)
    (second,) = opened(open, A, waits=False)
    assert open.serves(second, "/v2")
    assert len(open) == 1


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, event, **facts):
        self.lines.append((event, facts))


def test_refusals_are_one_line_with_counts(refusals):
    log = Log()
    for _ in range(3):
        refusals.count("too_many_requests", "account-1")
    refusals.count("connection_closed", A)
    refusals.log(log)
    refusals.log(log)
    reasons = "too_many_requests: 3, connection_closed: 1"
    facts = {"count": 4, "reasons": reasons, "client": "account-1", "by_client": 3}
    assert log.lines == [("api_refused", facts)]
    assert refusals.total == 4


def test_refusals_of_very_many_clients_take_little_memory(refusals):
    log = Log()
    for number in range(5000):
        refusals.count("connection_closed", f"client-{number}")
    refusals.log(log)
    ((_event, facts),) = log.lines
    assert (facts["count"], facts["client"], facts["by_client"]) == (5000, "others", 4000)
