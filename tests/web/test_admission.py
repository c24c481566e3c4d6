"""Whom a request counts for: its account, the operator, or its address."""

import asyncio
from ipaddress import ip_network

import pytest
import structlog
from starlette.requests import Request

from callboard.web.access.admission import KnownTokens, Slot
from callboard.web.access.fair_slots import FairSlots, TooManyWait
from callboard.web.access.tokens import Caller
from callboard.web.errors import ApiError, busy, over_rate
from support.api import ADMIN, CHILD, PARENT, Api


def request(token="", path="/v2/webhooks", query=b"", method="GET", client="192.0.2.7", **headers):
    return Request(
        {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "headers": [
                *([(b"x-auth-token", token.encode("latin-1"))] if token else []),
                *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()),
            ],
            "client": client and (client, 1),
        }
    )


class Slots:
    """Slots for everyone; `taken`: the client of the last one, and how many it may have."""

    def take_now(self, *client_and_most):
        self.taken = client_and_most
        return True


@pytest.fixture
def admission(api):
    admission = api.app.state.admission
    admission.tokens.add("of-parent", Caller(PARENT))
    admission.slots = Slots()
    return admission


@pytest.mark.parametrize(
    ("asked", "client", "most"),
    [
        (request(), ("address", "192.0.2.7"), 4),
        (request(client=None), ("address", ""), 4),
        (request(client="2001:db8::1:2:3:4"), ("address", "2001:db8::"), 4),
        (request(x_forwarded_for="192.0.2.9"), ("address", "192.0.2.7"), 4),
        (request("wrong"), ("address", "192.0.2.7"), 4),
        (request("wrong\xff"), ("address", "192.0.2.7"), 4),
        (request(query=b"auth_token=%ED%A0%80"), ("address", "192.0.2.7"), 4),
        (request("of-parent"), ("account", PARENT), 4),
        (request(query=b"auth_token=of-parent"), ("account", PARENT), 4),
        (request(ADMIN), ("admin", ""), 12),
        (request(ADMIN, f"/v2/accounts/{CHILD}/webhooks"), ("for", CHILD), 4),
        (request(ADMIN, f"/v1/accounts/{CHILD}"), ("admin", ""), 12),
    ],
)
def test_a_request_takes_a_slot_of_its_client(admission, asked, client, most):
    asyncio.run(admission.slot_for(asked))
    assert admission.slots.taken == (client, most)


def test_behind_a_trusted_proxy_a_request_counts_for_the_address_that_it_reports(tmp_path):
    api = Api(tmp_path, trusted_proxies=(ip_network("192.0.2.0/24"),))
    api.app.state.admission.slots = Slots()
    asyncio.run(api.app.state.admission.slot_for(request(x_forwarded_for="203.0.113.9")))
    assert api.app.state.admission.slots.taken == (("address", "203.0.113.9"), 4)


class Taken:
    """Slots that are all taken, and as many wait as may if `full`."""

    def __init__(self, full):
        self.full = full

    def take_now(self, *_client_and_most):
        return False

    async def take(self, *_client_and_most):
        if self.full:
            raise TooManyWait


OWN = "the account has more requests in progress: quotas.requests allows 4"
RATE = {"message": OWN, "setting": "quotas.requests", "retry_after_s": 5}
BUSY = {"message": "too many requests are in progress: try again later"}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("asked", "status", "message", "data"),
    [
        (request(), 503, "busy", BUSY),
        (request(ADMIN), 503, "busy", BUSY),
        (request("of-parent"), 429, "too_many_requests", RATE),
        (request(ADMIN, f"/v2/accounts/{CHILD}/webhooks"), 429, "too_many_requests", RATE),
    ],
)
def test_a_request_waits_twenty_seconds_for_a_slot(
    admission, monkeypatch, full, asked, status, message, data
):
    limits = []

    async def wait_for(turn, limit_s):
        limits.append(limit_s)
        await turn
        raise TimeoutError

    monkeypatch.setattr(asyncio, "wait_for", wait_for)
    admission.slots = Taken(full)
    with pytest.raises(ApiError) as refused:
        asyncio.run(admission.slot_for(asked))
    assert (refused.value.status, refused.value.message) == (status, message)
    assert (refused.value.data, refused.value.headers) == (data, {"Retry-After": "5"})
    assert limits == [20.0]


@pytest.mark.parametrize(("token", "refused"), [("", False), ("of-parent", True), (ADMIN, True)])
def test_while_the_broker_takes_nothing_posts_of_known_clients_are_refused(
    api, admission, token, refused
):
    """One with an unknown token is told that, by the route."""
    api.backend.why_posts_are_refused = "low on memory"
    if not refused:
        asyncio.run(admission.slot_for(request(token, "/v2/events", method="POST")))
        return
    with pytest.raises(ApiError) as error:
        asyncio.run(admission.slot_for(request(token, "/v2/events", method="POST")))
    assert (error.value.status, error.value.message) == (503, "broker_blocked")
    asyncio.run(admission.slot_for(request(token, "/v2/events", method="GET")))
    asyncio.run(admission.slot_for(request(token, "/v2/webhooks", method="POST")))


QUOTA = {"setting": "quotas.hooks", "message": "100 are allowed"}


@pytest.mark.parametrize(
    ("error", "refusals", "reports"),
    [
        (busy("later"), 1, 0),
        (over_rate("too many", "quotas.requests", 5), 1, 1),
        (ApiError(403, "quota", QUOTA), 0, 1),
        (ApiError(404, "not_found"), 0, 0),
        (ApiError(403, "setting", {"setting": "api.events", "message": "no"}), 0, 0),
    ],
)
def test_refusals_because_of_a_limit_are_counted_and_those_of_quotas_reported(
    api, admission, error, refusals, reports
):
    admission.refused(request("of-parent"), error)
    assert (admission.refusals.total, len(api.backend.reported)) == (refusals, reports)
    assert {event.account_id for event in api.backend.reported} <= {PARENT}


def test_a_quota_of_another_account_is_reported_as_that_ones(api, admission):
    admission.refused(request("of-parent"), ApiError(403, "quota", QUOTA, account_id=CHILD))
    admission.refused(request("unknown"), ApiError(403, "quota", QUOTA))
    assert [event.account_id for event in api.backend.reported] == [CHILD]


def test_a_refusal_is_counted_for_the_account_or_the_address(api, admission, host_logs):
    for asked in (request("of-parent"), request("of-parent"), request("unknown")):
        admission.refused(asked, busy("later"))
    admission.refusals.log(structlog.get_logger("callboard"))
    ((count, client, by_client),) = [(r.count, r.client, r.by_client) for r in host_logs.records]
    assert (count, client, by_client) == (3, PARENT, 2)
    admission.refused(request("unknown"), busy("later"))
    admission.refusals.log(structlog.get_logger("callboard"))
    assert host_logs.records[-1].client == "192.0.2.7"


def test_a_token_is_believed_for_a_second_and_names_its_account_longer():
    now = 100.0
    tokens = KnownTokens(lambda: now)
    tokens.add("t", caller := Caller(PARENT))
    now = 100.9
    assert (tokens.caller_of("t"), tokens.account_of("t")) == (caller, PARENT)
    now = 101.0
    assert (tokens.caller_of("t"), tokens.account_of("t")) == (None, PARENT)
    assert (tokens.caller_of("u"), tokens.account_of("u")) == (None, None)


def test_a_slot_is_given_back_once():
    slots = FairSlots(1)
    assert slots.take_now("a", 1)
    assert len(slots) == 1
    slot = Slot(slots, "a")
    slot.give_back()
    slot.give_back()
    assert slots.take_now("b", 1)
    assert not slots.take_now("c", 1)


def test_ten_thousand_tokens_are_remembered_and_then_the_oldest_forgotten():
    tokens = KnownTokens()
    for number in range(10_000):
        tokens.add(str(number), Caller(PARENT))
    assert tokens.account_of("0") == PARENT
    tokens.add("x", Caller(PARENT))
    assert (tokens.account_of("0"), tokens.account_of("1")) == (None, PARENT)


def test_ten_thousand_tokens_are_remembered_the_latest():
    tokens = KnownTokens()
    for number in range(10_001):
        tokens.add(str(number), Caller(PARENT))
        tokens.add("0" if number < 5000 else "1", Caller(PARENT))
    assert tokens.account_of("2") is None
    assert [tokens.account_of(known) for known in ("0", "1", "4", "10000")] == [PARENT] * 4
