"""Hook documents: a hook or InvalidHook, and the account's other hooks fire all the same."""

import json
import socket

from hypothesis import given
from hypothesis import strategies as st

from callboard.actors.delivery.transports import check_hook
from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.threaded import RequestsTransport
from callboard.config.settings import Settings
from callboard.webhooks.deliveries.delivery import deliveries
from callboard.webhooks.events.event import Event
from callboard.webhooks.hooks.failure_window import Limits, account_limits
from callboard.webhooks.hooks.hook import (
    Hook,
    InvalidHook,
    disabling,
    enabled_again,
    is_auto_disabled,
    is_deleted,
    new_hook,
    parse_hook,
)
from callboard.webhooks.hooks.matching import HookIndex
from callboard.webhooks.hooks.options import InvalidOption, parse_options
from callboard.webhooks.modules.kazoo.channel_create import MODULE
from callboard.webhooks.retries.outcome import ClientError
from support.accounts import Accounts
from support.fuzz import ACCOUNT, changed, fuzzed, numbers, texts, values

DOCUMENT = {
    "_id": "h2",
    "pvt_account_id": ACCOUNT,
    "pvt_type": "webhook",
    "uri": "http://hooks.example/calls?a=b#c",
    "hook": "channel_create",
    "http_verb": "post",
    "format": "json",
    "retries": 2,
    "enabled": True,
    "include_subaccounts": False,
    "include_internal_legs": True,
    "custom_data": {"a": {"b": ["c"]}},
    "modifiers": {"call_direction": "inbound"},
    "retry_policy": "standard",
    "ordered": True,
    "rate_limit": 2.5,
    "headers": {"X-One": "1"},
    "pvt_secrets": ["sealed"],
    "client_certificate": "all.pem",
    "retry_steps_s": [5, 60.5],
    "success": ["200-299", 304],
    "give_up": [400],
    "signature": {"name": "github", "header": "X-Sig"},
}
OPTIONS = (
    *("retry_policy", "ordered", "rate_limit", "headers", "pvt_secrets", "client_certificate"),
    *("retry_steps_s", "success", "give_up", "signature"),
)
OPTIONAL = {key: DOCUMENT[key] for key in OPTIONS}
CALL = {
    "Event-Category": "call_event",
    "Event-Name": "CHANNEL_CREATE",
    "App-Name": "freeswitch",
    "App-Version": "1.0",
    "Msg-ID": "1",
    "Call-ID": "leg-a",
    "Call-Direction": "inbound",
    "Timestamp": 63867000000,
    "Custom-Channel-Vars": {"Account-ID": ACCOUNT},
}
GOOD = Hook("h1", ACCOUNT, "http://hooks.example/", "CHANNEL_CREATE", format="json")


def unknown(*_args):
    raise socket.gaierror(socket.EAI_NONAME, "unknown")


TRANSPORT = RequestsTransport(1, 1, guard=AddressGuard(resolve=unknown))


def hostile(document):
    """Members replaced by anything, and by what is nearly right."""
    nearly = st.fixed_dictionaries(
        {},
        optional={
            "uri": texts.map(lambda text: f"http://{text}") | texts.map("https://h/{}".format),
            "headers": st.dictionaries(texts, texts | values, max_size=3),
            "rate_limit": numbers,
            "retries": numbers,
            "modifiers": st.dictionaries(st.sampled_from(("call_id", "a")), values),
            "custom_data": st.dictionaries(texts, values, max_size=2),
            "http_verb": st.sampled_from(("get", "GET", "Put", "pos\u0131t")),
        },
    )
    return st.tuples(changed(document), nearly).map(lambda pair: pair[0] | pair[1])


@fuzzed(5)
@given(hostile(DOCUMENT))
def test_whatever_a_hook_holds_its_neighbour_fires(document):
    index = HookIndex()
    index.put(GOOD)
    is_deleted(document)
    is_auto_disabled(document)
    try:
        hook = parse_hook(document, ("channel_create", "object"))
    except InvalidHook as problem:
        assert problem.reason
    else:
        index.put(hook)
        try:
            check_hook(hook, Settings())
        except InvalidHook as problem:
            assert problem.reason
    made = deliveries(Event(CALL, "e", "k"), MODULE, index, Accounts(), None, lambda: "0" * 10)
    by_hook = {delivery.hook_id: delivery for delivery in made}
    if (GOOD.id, GOOD.account_id) != (document.get("_id"), document.get("pvt_account_id")):
        assert json.loads(by_hook[GOOD.id].body)["call_id"] == "leg-a"
    for delivery in made:
        outcome = TRANSPORT.send(
            delivery.method,
            delivery.request_url,
            delivery.headers,
            delivery.request_body,
            delivery.options.certificate,
            delivery.account_id,
        )
        assert isinstance(outcome, ClientError)


@fuzzed(5)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(OPTIONS, values)) | hostile(OPTIONAL))
def test_options(document):
    try:
        options = parse_options(document)
    except InvalidOption as problem:
        assert str(problem)
        return
    for name, value in options.headers:
        assert "\n" not in name + value and "\r" not in name + value
    hash(options)


@fuzzed(2)
@given(st.dictionaries(texts, values), texts, st.integers(0, 10**11))
def test_documents_that_are_written(public, id, now):
    made = new_hook(public, now, id, "node")
    assert made["_id"] == id
    assert not [key for key in made if key.startswith("_") and key not in ("_id",)]
    json.dumps(made)
    enabled_again(made | disabling(made, "reason"), now)


@fuzzed(2)
@given(
    st.none() | st.dictionaries(st.sampled_from(("attempt_failure_count",)) | texts, values),
    st.none() | st.dictionaries(st.sampled_from(("attempt_failure_expiry_ms",)) | texts, values),
)
def test_limits_of_accounts(own, reseller):
    limits = account_limits(own, reseller, Limits())
    assert isinstance(limits.count, int)
    assert isinstance(limits.expiry_ms, int)
