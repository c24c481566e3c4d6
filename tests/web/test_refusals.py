"""What the API refuses: one line in a while, with counts."""

import pytest

from callboard.web.access.refusals import Refusals


@pytest.fixture
def refusals():
    return Refusals()


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, event, **facts):
        self.lines.append((event, facts))


def test_refusals_are_one_line_with_counts(refusals):
    log = Log()
    for _ in range(3):
        refusals.count("too_many_requests", "account-1")
    refusals.count("connection_closed", "192.0.2.1")
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


def test_a_thousand_clients_are_told_apart_and_the_others_counted_together(refusals):
    log = Log()
    for client in (*range(1000), "0", "x", "y", "z"):
        refusals.count("busy", str(client))
    refusals.log(log)
    refusals.count("slow", "a")
    refusals.log(log)
    first = {"count": 1004, "reasons": "busy: 1004", "client": "others", "by_client": 3}
    second = {"count": 1, "reasons": "slow: 1", "client": "a", "by_client": 1}
    assert log.lines == [("api_refused", first), ("api_refused", second)]
    assert refusals.total == 1005
