"""A directory in memory, and a call as a switch tells of it."""

import copy
from typing import Any

import pytest
from attrs import define, field

from callboard.webhooks.events.directory import Account
from callboard.webhooks.events.event import Event

PARENT = "0a" * 16
ACCOUNT = "1b" * 16
STRANGER = "2c" * 16


@define
class TableDirectory:
    """A Directory of plain tables; settings are keyed by (category, key)."""

    accounts: dict[str, Account] = field(factory=dict)
    resellers: dict[str, str] = field(factory=dict)
    numbers: dict[str, str] = field(factory=dict)
    settings: dict[tuple[str, str], Any] = field(factory=dict)

    def account(self, account_id: str) -> Account | None:
        return self.accounts.get(account_id)

    def reseller_id(self, account_id: str) -> str | None:
        return self.resellers.get(account_id)

    def account_by_number(self, number: str) -> str | None:
        return self.numbers.get(number)

    def setting(self, category: str, key: str, default: Any) -> Any:
        return self.settings.get((category, key), default)


@pytest.fixture
def directory():
    return TableDirectory(accounts={PARENT: Account(PARENT), ACCOUNT: Account(ACCOUNT, (PARENT,))})


CALL = {
    "Event-Category": "call_event",
    "Event-Name": "CHANNEL_CREATE",
    "App-Name": "freeswitch",
    "App-Version": "1.0",
    "Msg-ID": "1700000000000001",
    "Call-ID": "leg-a",
    "Call-Direction": "inbound",
    "Caller-ID-Name": "Ada",
    "Caller-ID-Number": "1001",
    "Channel-Name": "sofia/inside/1001@pbx.example.org",
    "Timestamp": 63867000000,
    "Request": "+14155550100@pbx.example.org",
    "To": "+14155550100@pbx.example.org",
    "From": "1001@pbx.example.org",
    "Custom-Channel-Vars": {"Account-ID": ACCOUNT, "Owner-ID": "ada"},
}


@pytest.fixture
def call():
    """Makes the event of a call; headers (`_` for `-`) and `ccvs` are laid over the usual ones."""

    def make(name: str = "CHANNEL_CREATE", *, ccvs: dict[str, Any] | None = None, **headers: Any):
        body = copy.deepcopy(CALL) | {"Event-Name": name}
        body |= {header.replace("_", "-"): value for header, value in headers.items()}
        body["Custom-Channel-Vars"] |= ccvs or {}
        return Event(body, "callevt", f"call.{name}.leg-a")

    return make
