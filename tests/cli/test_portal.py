"""`callboard portal`, which needs no running system."""

import json
import os
import time
from datetime import datetime

import pytest
from click.testing import CliRunner

from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.portal.links import PortalLinks
from callboard.adapters.store import stores
from callboard.cli import main
from support.running import ACCOUNT


@pytest.fixture
def portal(tmp_path):
    def run(*arguments, **variables):
        environment = {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_DATA_DIR": str(tmp_path)}
        return CliRunner().invoke(main, ["portal", *arguments], env=environment | variables)

    return run


@pytest.fixture
def links(tmp_path):
    store = stores.connect("sqlite://", tmp_path)
    yield PortalLinks(SecretBox("", tmp_path / "secrets.key"), store)
    store.close()


def token_of(url):
    return url.strip().partition("#/link/")[2]


def test_a_link_is_printed_and_revoked(portal, links):
    made = portal("link", ACCOUNT, "--for", "90m", "--rights", "read")
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("http://127.0.0.1:8000/#/link/cbp_")
    opened = links.opened(token_of(made.stdout), time.time())
    assert (opened.account_id, opened.rights) == (ACCOUNT, "read")
    assert 5390 < opened.until_s - time.time() <= 5400
    assert f"for account {ACCOUNT}, read, until 20" in made.stderr
    revoked = portal("revoke", ACCOUNT)
    said = f"revoked the links of account {ACCOUNT}\n"
    assert (revoked.exit_code, revoked.stdout) == (0, said)
    assert links.opened(token_of(made.stdout), time.time()) is None


def test_a_link_for_programs(portal, links):
    made = json.loads(portal("link", ACCOUNT, "--json").stdout)
    opened = links.opened(token_of(made["url"]), time.time())
    assert (made["account_id"], made["rights"], opened.rights) == (ACCOUNT, "manage", "manage")
    assert datetime.fromisoformat(made["until"]).timestamp() == opened.until_s
    assert 3590 < opened.until_s - time.time() <= 3600


def test_a_link_leads_where_the_dashboard_is(portal, tmp_path):
    url = portal("link", ACCOUNT, CALLBOARD_PORTAL_URL="https://shop.example/").stdout
    assert url.startswith("https://shop.example/#/link/")
    ip6 = portal("link", ACCOUNT, CALLBOARD_API_BIND="::1").stdout
    assert ip6.startswith("http://[::1]:8000/#/link/")
    (tmp_path / "api.json").write_text('{"url": "http://127.0.0.1:4711"}')
    assert portal("link", ACCOUNT).stdout.startswith("http://127.0.0.1:4711/#/link/")


@pytest.mark.parametrize("span", ["59s", "8d", "1", "h", "-1h", "1w"])
def test_a_time_that_is_none_is_refused(portal, span):
    answer = portal("link", ACCOUNT, f"--for={span}")
    assert answer.exit_code == 2
    assert "no time from 1m to 7d" in answer.output


def test_what_names_no_account_is_refused(portal):
    assert portal("link", "a/b").exit_code == 2
    assert portal("revoke", "a/b").exit_code == 2


def test_a_damaged_key_is_reported(portal, tmp_path):
    (tmp_path / "secrets.key").write_text("no key\n")
    (tmp_path / "secrets.key").chmod(0o600)
    answer = portal("link", ACCOUNT)
    assert answer.exit_code == 1
    assert "not 32 bytes in base64" in answer.stderr
