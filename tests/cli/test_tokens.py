"""`callboard tokens`, which needs no running system."""

import json
import os
import time

import pytest
from click.testing import CliRunner

from callboard.adapters.repositories.tokens import account_of_token
from callboard.adapters.store import stores
from callboard.cli import main
from support.running import ACCOUNT


@pytest.fixture
def tokens(tmp_path):
    def run(*arguments):
        variables = {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_DATA_DIR": str(tmp_path)}
        return CliRunner().invoke(main, ["tokens", *arguments], env=variables)

    return run


def test_a_token_is_made_shown_once_listed_and_revoked(tokens, tmp_path):
    database = f"account/{ACCOUNT[:2]}/{ACCOUNT[2:4]}/{ACCOUNT[4:]}"
    made = json.loads(tokens("add", "--account", database, "--name", "portal", "--json").stdout)
    store = stores.connect("sqlite://", tmp_path)
    assert account_of_token(store, made["token"]) == ACCOUNT
    (listed,) = json.loads(tokens("list", "--json").stdout)
    assert listed == {key: value for key, value in made.items() if key != "token"}
    assert (listed["account_id"], listed["name"]) == (ACCOUNT, "portal")
    assert list(made) == ["id", "account_id", "name", "since", "token"]
    assert json.loads(tokens("list", "--account", "f" * 32, "--json").stdout) == []
    revoked = tokens("revoke", made["id"])
    said = f"revoked token {made['id']} of account {ACCOUNT}\n"
    assert (revoked.exit_code, revoked.stdout) == (0, said)
    assert account_of_token(store, made["token"]) is None
    again = tokens("revoke", made["id"])
    assert again.exit_code == 1
    assert "there is no token" in again.stderr
    store.close()


def test_tokens_are_listed_as_a_table_with_their_times_in_utc(tokens, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_795_514_400.9)
    said = tokens("add", "--account", ACCOUNT, "--name", "portal").stdout
    added = said.split()
    assert said == (
        f"The token {added[2]} of account {ACCOUNT}:\n\n  {added[6]}\n\nIt is not shown again.\n"
    )
    header, line = tokens("list").stdout.splitlines()
    assert header.split() == ["token", "account", "name", "since"]
    assert line.split() == [added[2], ACCOUNT, "portal", "2026-11-24T10:00:00Z"]


def test_what_names_no_account_is_refused(tokens):
    assert tokens("add", "--account", "a/b").exit_code == 2


def test_there_may_be_none(tokens):
    assert json.loads(tokens("list", "--json").stdout) == []
