"""Which attempts a replay chooses."""

import pytest

from callboard.admin import StoredAttempt
from callboard.webhooks.history.replaying import one_of_each


def attempt(id, event_id, *, failed):
    return StoredAttempt(f"202611/{id}", event_id, 0, failed, "500" if failed else "200")


ATTEMPTS = [
    attempt("1", "a", failed=True),
    attempt("2", "b", failed=True),
    attempt("3", "a", failed=False),
    attempt("4", "b", failed=True),
    attempt("5", "a", failed=True),
]


@pytest.mark.parametrize(
    ("choice", "ids"),
    [
        ({}, ["3", "4"]),
        ({"failed": True}, ["4"]),
        ({"event_id": "a"}, ["3"]),
        ({"event_id": "a", "failed": True}, []),
        ({"event_id": "c"}, []),
        ({"attempt_id": "202611/2"}, ["4"]),
        ({"attempt_id": "2"}, ["4"]),
        ({"attempt_id": "9"}, []),
    ],
)
def test_one_attempt_of_each_delivery_that_succeeded_or_is_the_last(choice, ids):
    assert [one.id for one in one_of_each(ATTEMPTS, **choice)] == [f"202611/{id}" for id in ids]
