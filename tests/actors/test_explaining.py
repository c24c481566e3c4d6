"""What `callboard explain` says of an event, for each fate that it may have."""

import json

import pytest

from callboard import admin
from callboard.actors.delivery.transports import grants
from callboard.actors.operations.explaining import EventExplaining
from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store import views
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.config.settings import (
    ApiSettings,
    DataSettings,
    DeliverySettings,
    ModuleSettings,
    Settings,
)
from callboard.webhooks.retries.policy import with_choices

KAZOOS = "a1" * 16
TABLES = (
    ModuleSettings(
        id="order_paid",
        exchange="shop",
        bindings=("order.*.paid",),
        account="customer.id",
        only={"test": False},
        fields={"order": "id", "total": "amount"},
    ),
    ModuleSettings(
        id="states",
        exchange="states",
        exchange_type="headers",
        binding_headers=({"state": "paid"},),
        account_id="acme",
    ),
    ModuleSettings(
        id="parcel",
        exchange="parcels",
        bindings=("#",),
        account_id="acme",
        only_if_present={"kind": "parcel"},
    ),
)
ORDER = {"id": 7, "customer": {"id": "acme"}, "test": False, "amount": 42}


class Explained:
    def __init__(self, folder, **delivery):
        self.settings = Settings(
            data=DataSettings(dir=folder),
            api=ApiSettings(events=True),
            delivery=DeliverySettings(**delivery),
            modules=TABLES,
        )
        self.store = EmbeddedStore(folder / "store.sqlite3", views=views.ALL)
        for database, designs in (("webhooks", views.WEBHOOKS), ("accounts", views.ACCOUNTS)):
            self.store.ensure_database(database)
            self.store.ensure_views(database, designs)
        directory = StoreDirectory(self.store, "node@host", "local", write_defaults=False)

        def choose(delivery):
            node = self.settings.delivery.retry_policy
            return with_choices(delivery, {}, node, grants=grants(self.settings))

        self.explaining = EventExplaining(self.settings, HookStore(self.store), directory, choose)

    def add(self, id, event="order_paid", account="acme", uri="https://a.example/", **fields):
        document = {"hook": event, "name": id, "uri": uri, "pvt_account_id": account}
        self.store.save("webhooks", {"_id": id, "pvt_type": "webhook", **document, **fields})

    def steps(self, body, exchange="shop", key="order.7.paid", **more):
        """The outcomes, and the steps but for those of the way there."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        found = self.explaining.explain(admin.ExplainEvent(exchange, key, body, **more))
        self.all = found.steps
        return [outcome for outcome, _module in found.outcomes], [
            (step.stage, step.passed, step.hook_id, step.what) for step in found.steps
        ]


@pytest.fixture
def explained(tmp_path):
    explained = Explained(tmp_path)
    yield explained
    explained.store.close()


def test_no_module_is_bound_to_the_exchange(explained):
    assert explained.steps(ORDER, "elsewhere") == (
        ["unclaimed"],
        [("routing", False, "", "no module is bound to the exchange elsewhere")],
    )


def test_no_binding_matches(explained):
    why = "the bindings of shop do not match: 'order.*.paid' (order_paid)"
    assert explained.steps(ORDER, key="order.7.sent") == (
        ["unclaimed"],
        [("routing", False, "", why)],
    )


def test_headers_choose_the_module(explained):
    assert explained.steps({}, "states", "")[0] == ["unclaimed"]
    outcomes, steps = explained.steps({}, "states", "", headers=(("state", "paid"),))
    assert outcomes == ["no_hook"]
    assert steps[0] == ("routing", True, "", "bound by ''")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            b"{",
            "it is quarantined: the body is not JSON: "
            "Expecting property name enclosed in double quotes",
        ),
        (b"[]", "it is quarantined: the body is a JSON list, not an object"),
    ],
)
def test_a_message_that_is_no_object_is_quarantined(explained, body, reason):
    outcomes, steps = explained.steps(body)
    assert outcomes == ["poison"]
    stage, passed, _hook, what = steps[-1]
    assert (stage, passed, what.partition(": line")[0]) == ("message", False, reason)


def test_a_message_that_its_module_refuses_is_quarantined(explained):
    outcomes, steps = explained.steps({"Event-Category": "callboard"}, "callboard", "x")
    assert outcomes == ["poison"]
    why = "a posted event has Account-ID, Event-Name and an object as Data"
    assert steps[-1] == ("message", False, "", f"it is quarantined: {why}")


@pytest.mark.parametrize(
    ("given", "what"),
    [({"test": True}, "test is True, not False"), ({}, "test is absent, not False")],
)
def test_what_only_filters(explained, given, what):
    order = {k: v for k, v in ORDER.items() if k != "test"} | given
    outcomes, steps = explained.steps(order)
    assert outcomes == ["filtered"]
    assert steps[-2:] == [
        ("only", False, "", what),
        ("only", False, "", "the module does not handle it"),
    ]


@pytest.mark.parametrize(
    ("given", "outcome", "passed", "what"),
    [
        ({}, "no_hook", True, "kind is absent"),
        ({"kind": "parcel"}, "no_hook", True, "kind is 'parcel'"),
        ({"kind": "letter"}, "filtered", False, "kind is 'letter', not 'parcel'"),
        ({"kind": "l" * 78}, "filtered", False, f"kind is '{'l' * 78}', not 'parcel'"),
        ({"kind": "l" * 79}, "filtered", False, f"kind is '{'l' * 79}…, not 'parcel'"),
    ],
)
def test_what_filters_only_if_it_is_present(explained, given, outcome, passed, what):
    outcomes, steps = explained.steps(given, "parcels")
    assert outcomes == [outcome]
    assert ("only", passed, "", what) in steps


@pytest.mark.parametrize(
    ("customer", "shown"), [({}, "absent"), ({"id": None}, "None"), ({"id": 1.5}, "1.5")]
)
def test_no_account(explained, customer, shown):
    outcomes, steps = explained.steps(ORDER | {"customer": customer})
    assert outcomes == ["no_account"]
    assert steps[-1] == ("account", False, "", f"customer.id is {shown}: no account")


SMS = {
    "Event-Category": "sms",
    "Event-Name": "inbound",
    **dict.fromkeys(("App-Name", "App-Version", "Msg-ID"), "x"),
    **dict.fromkeys(("Message-ID", "Body", "From", "To"), "x"),
}


def test_a_message_of_kazoo_without_an_account(explained):
    outcomes, steps = explained.steps(SMS, "im", "sms.inbound.offnet.x")
    assert outcomes == ["no_account"]
    assert steps[-1] == (
        *("account", False, ""),
        "the event belongs to no account, or concerns no hook",
    )


def test_an_account_of_kazoo_that_is_in_no_database(explained):
    message = {**SMS, "Account-ID": KAZOOS}
    outcomes, steps = explained.steps(message, "im", "sms.inbound.offnet.x")
    assert outcomes == ["no_hook"]
    assert steps[-1] == (
        *("account", False, ""),
        f"there is no account {KAZOOS} in the database",
    )


def test_no_hook(explained):
    explained.add("of another", account="other")
    explained.add("on another", event="object")
    outcomes, steps = explained.steps(ORDER)
    assert outcomes == ["no_hook"]
    assert steps[-3:] == [
        ("account", True, "", "it is acme"),
        ("hook", False, "", "1 hooks of the account are on other events"),
        ("hook", False, "", "no hook fires"),
    ]


def test_a_hook_fires_behind_those_on_other_events(explained):
    explained.add("a", event="object")
    explained.add("b")
    outcomes, steps = explained.steps(ORDER)
    assert outcomes == ["fired"]
    assert ("hook", True, "b", "it fires") in steps
    assert ("hook", False, "", "1 hooks of the account are on other events") in steps


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"enabled": False}, "it is disabled"),
        (
            {"enabled": False, "pvt_disabled_message": "too many failures"},
            "it is disabled: too many failures",
        ),
        (
            {"http_verb": "delete"},
            "it cannot fire: http_verb 'delete' is unknown: use one of get, post, put",
        ),
        ({"filter": "total > `50`"}, "its filter 'total > `50`' does not want the event"),
        ({"modifiers": {"total": [1, 2]}}, "its modifiers want total to be [1, 2], and it is 42"),
    ],
)
def test_a_hook_that_does_not_fire(explained, fields, what):
    explained.add("h", **fields)
    outcomes, steps = explained.steps(ORDER)
    assert outcomes == ["no_hook"]
    assert steps[-2] == ("hook", False, "h", what)


def test_a_hook_of_an_account_above(explained):
    explained.store.save("accounts", {"_id": "acme", "pvt_tree": ["parent"]})
    explained.add("only its own", account="parent")
    explained.add("subaccounts", account="parent", include_subaccounts=True)
    explained.add("own", include_subaccounts=False)
    outcomes, steps = explained.steps(ORDER)
    assert outcomes == ["fired"]
    assert [(hook, what) for stage, _passed, hook, what in steps if stage == "hook"] == [
        ("own", "it fires"),
        ("only its own", "it is of the account parent above, without its subaccounts"),
        ("subaccounts", "it fires"),
    ]


def test_custom_data_that_selects_other_events(explained):
    explained.add("h", event="event", custom_data={"type": "order.sent"})
    posted = {
        "Event-Category": "callboard",
        "Event-Name": "order.paid",
        "Account-ID": "acme",
        "Data": {},
    }
    outcomes, steps = explained.steps(posted, "callboard", "order.paid")
    assert outcomes == ["no_hook"]
    assert steps[-2][1:] == (
        *(False, "h"),
        "its custom_data {'type': 'order.sent'} selects other events",
    )


def test_a_hook_that_fires_and_its_delivery(explained):
    explained.add("h", format="json", http_verb="put", retry_policy="standard")
    explained.add("gone", pvt_deleted=True)
    outcomes, steps = explained.steps(ORDER)
    assert outcomes == ["fired"]
    body = json.dumps({"order": 7, "total": 42}, indent=2)
    assert steps == [
        ("routing", True, "", "bound by 'order.*.paid'"),
        ("message", True, "", "it can be read"),
        ("only", True, "", "test is False"),
        ("account", True, "", "it is acme"),
        ("hook", True, "h", "it fires"),
        ("delivery", True, "h", f"PUT https://a.example/, {len(body)} bytes of application/json"),
        ("delivery", True, "h", "retry policy standard: at most 10 attempts"),
    ]
    assert {step.module for step in explained.all} == {"order_paid"}


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"uri": "http://127.0.0.1/"}, "it is refused: uri 'http://127.0.0.1/' is refused"),
        ({"paused": True}, "it waits until the hook is resumed"),
    ],
)
def test_a_delivery_that_is_not_sent(explained, fields, what):
    explained.add("h", **fields)
    outcomes, steps = explained.steps(ORDER)
    assert outcomes == ["fired"]
    stage, passed, hook, why = steps[-1]
    assert (stage, passed, hook) == ("delivery", False, "h")
    assert why.startswith(what)


@pytest.mark.parametrize(
    ("most", "what"),
    [
        (16, "retry policy kazoo: at most 2 attempts"),
        (15, "it is refused: its payload is larger than delivery.max_payload, 15"),
    ],
)
def test_a_payload_that_is_too_large(tmp_path, most, what):
    assert len("order=7&total=42") == 16
    explained = Explained(tmp_path, max_payload=most)
    explained.add("h")
    _outcomes, steps = explained.steps(ORDER)
    assert steps[-1][-1] == what
    explained.store.close()


def test_an_ordered_hook_and_kazoo_s_policy(explained):
    explained.add("h", ordered=True, retries=3)
    _outcomes, steps = explained.steps(ORDER)
    assert [(passed, what) for _stage, passed, _hook, what in steps[-2:]] == [
        (True, "retry policy kazoo: at most 3 attempts"),
        (True, "it waits for the earlier ones of the hook, which is ordered"),
    ]
