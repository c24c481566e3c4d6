"""The span of time of a listing: its ends by default, and those that are refused."""

import pytest

from callboard.web.envelopes.time_range import TimeRange, time_range
from callboard.web.errors import ApiError

NOW = 63_900_000_000
YEAR_1970, YEAR_9999 = 62_167_219_200, 315_569_519_999
"""The first and the last second that can be asked for, as Erlang's calendar module counts."""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, (NOW - 100, NOW)),
        ({"created_to": "63800000000"}, (63_799_999_900, 63_800_000_000)),
        ({"created_from": str(NOW)}, (NOW, NOW)),
        ({"created_from": str(NOW - 100)}, (NOW - 100, NOW)),
        ({"created_to": str(YEAR_1970)}, (YEAR_1970, YEAR_1970)),
        ({"created_to": str(YEAR_1970 + 101)}, (YEAR_1970 + 1, YEAR_1970 + 101)),
        ({"created_to": str(YEAR_9999)}, (YEAR_9999 - 100, YEAR_9999)),
    ],
)
def test_an_end_that_is_not_given(query, expected):
    assert time_range(query, NOW, 100) == TimeRange(*expected)


@pytest.mark.parametrize(
    ("query", "member", "message", "cause"),
    [
        (
            {"created_from": str(NOW + 1)},
            "created_from",
            "created_to is prior to created_from",
            NOW + 1,
        ),
        ({"created_from": str(NOW - 101)}, "created_from", "max range is 100 seconds", NOW - 101),
        ({"created_to": str(YEAR_1970 - 1)}, "created_to", "must be Gregorian seconds", None),
        ({"created_from": str(YEAR_9999 + 1)}, "created_from", "must be Gregorian seconds", None),
        ({"created_to": "now"}, "created_to", "must be Gregorian seconds", None),
    ],
)
def test_a_span_that_is_none(query, member, message, cause):
    with pytest.raises(ApiError) as refused:
        time_range(query, NOW, 100)
    assert (refused.value.status, refused.value.message) == (400, "validation error")
    expected = {"message": message, "cause": query[member] if cause is None else cause}
    assert refused.value.data == {member: {"date_range": expected}}
