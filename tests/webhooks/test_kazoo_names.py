import re
import time
from datetime import UTC, datetime
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.values.kazoo_names import (
    account_database,
    account_of_database,
    decoded,
    encode_segment,
    encoded,
    gregorian_ms,
    gregorian_s,
    gregorian_us,
    modb,
)

ID = "0123456789abcdef0123456789abcdef"
account_ids = st.text("0123456789abcdef", min_size=32, max_size=32)
times = st.integers(0, 4_000_000_000)


def test_gregorian_time_counts_from_the_year_0():
    assert gregorian_s(0) == 62167219200
    assert gregorian_s(1.9) == 62167219201
    assert gregorian_ms(1.9) == 62167219201900
    assert gregorian_us(1.9) == 62167219201900000


def test_an_account_s_database_is_split_2_2_28():
    assert account_database(ID) == "account/01/23/456789abcdef0123456789abcdef"


@pytest.fixture
def far_west(monkeypatch):
    """A machine whose clock shows another date than UTC's."""
    monkeypatch.setenv("TZ", "UTC+12")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_west")
@pytest.mark.parametrize(
    ("moment", "suffix"),
    [
        (datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), "-202402"),
        (datetime(2024, 3, 1, tzinfo=UTC), "-202403"),
    ],
)
def test_the_monthly_database_changes_at_midnight_utc(moment, suffix):
    assert modb(ID, moment.timestamp()) == account_database(ID) + suffix


@given(account_ids, times)
def test_every_form_of_a_database_leads_back_to_its_account(account_id, now):
    for name in (account_database(account_id), modb(account_id, now)):
        assert account_of_database(name) == account_id
        assert account_of_database(encoded(name)) == account_id
        assert decoded(encoded(name)) == name


def test_raw_ids_are_understood_too():
    assert account_of_database(ID) == ID
    assert account_of_database(f"{ID}-202402") == ID


@pytest.mark.parametrize(
    "name", ["accounts", "webhooks", "account/01/23/45", account_database(ID) + "x", f"x{ID}", ""]
)
def test_other_databases_belong_to_no_account(name):
    assert account_of_database(name) is None


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("abc-XYZ~_09", "abc-XYZ~_09"),
        ("a.b@c", "a%2Eb%40c"),
        ("two words", "two+words"),
        ("a%2Fb", "a%252Fb"),
        ("é", "%C3%A9"),
        ("", ""),
        ("*", "*"),
        ("#", "#"),
        ("*#", "%2A%23"),
        ("\ud800", "%3F"),
    ],
)
def test_segments_of_routing_keys_are_escaped_by_bytes(value, segment):
    assert encode_segment(value) == segment


@given(st.text(min_size=2))
def test_a_segment_is_one_word(value):
    assert re.fullmatch(r"(?:[A-Za-z0-9~_+-]|%[0-9A-F]{2})+", encode_segment(value))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_segment_can_be_read_back(value):
    assert unquote_plus(encode_segment(value)) == value
