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
