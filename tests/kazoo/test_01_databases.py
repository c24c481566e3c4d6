"""Names of databases, and times."""

import pytest

from callboard.webhooks.values.kazoo_names import (
    account_database,
    account_of_database,
    encoded,
    gregorian_ms,
    gregorian_s,
    modb,
)
from support.kazoo import ACCOUNT

NAME = "account/2f/3e/4d5c6b7a8990a1b2c3d4e5f60718"


def test_an_account_s_database_is_its_id_split_in_three():
    assert account_database(ACCOUNT) == NAME


@pytest.mark.parametrize(
    ("unix_s", "month"),
    [(1_767_225_599, "202512"), (1_767_225_600, "202601"), (1_772_323_199.9, "202602")],
)
def test_a_monthly_database_is_named_by_the_month_in_utc(unix_s, month):
    assert modb(ACCOUNT, unix_s) == f"{NAME}-{month}"


def test_in_documents_and_routing_keys_its_slashes_are_encoded():
    assert encoded(NAME) == "account%2F2f%2F3e%2F4d5c6b7a8990a1b2c3d4e5f60718"


@pytest.mark.parametrize(
    ("name", "account"),
    [
        pytest.param(NAME, ACCOUNT, id="as CouchDB names it"),
        pytest.param(encoded(NAME), ACCOUNT, id="encoded"),
        pytest.param(f"{encoded(NAME)}-202611", ACCOUNT, id="a monthly one, encoded"),
        pytest.param(f"{ACCOUNT}-202611", ACCOUNT, id="a monthly one, raw"),
        pytest.param("accounts", None, id="another database"),
        pytest.param("numbers/+1415", None, id="a database of numbers"),
    ],
)
def test_whose_a_database_is(name, account):
    assert account_of_database(name) == account


def test_times_are_counted_from_the_year_0():
    assert gregorian_s(0) == 62_167_219_200
    assert gregorian_s(1_772_323_199.9) == 63_939_542_399
    assert gregorian_ms(0.25) == 62_167_219_200_250
