"""The kinds of events, samples of them, enabling hooks again, and what serves all that."""

import json
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from callboard import admin
from callboard.actors.messages import NoAnswer, RefusedByActor
from callboard.config.settings import ModuleSettings, Settings
from callboard.web.documents.samples import SAMPLES
from callboard.webhooks.modules.notification_types import NOTIFICATION_TYPES
from callboard.webhooks.values.kazoo_names import account_database
from support.api import OTHER, PARENT, Api

KINDS = "/v2/webhooks"


def test_kinds_are_listed_by_name_descending(api):
    kinds = api.data("GET", KINDS, token=None)
    names = [kind["name"] for kind in kinds]
    assert names == sorted(names, reverse=True)
    ids = {kind["id"] for kind in kinds}
    assert {"channel_create", "notifications", "object", "parking", "sms"} <= ids
    assert "skel" not in ids
    shown = next(kind for kind in kinds if kind["id"] == "object")
    assert shown["modifiers"]["action"]["items"][0] == "all"


def test_what_the_master_account_has_counts(api):
    api.store.ensure_database("system_config")
    config = {"_id": "accounts", "default": {"master_account_id": PARENT}}
    api.store.save("system_config", config)
    database = account_database(PARENT)
    api.store.ensure_database(database)
    meta = {"pvt_type": "webhook_meta", "description": "d"}
    for id, name in (("callflow", "Old"), ("skel", "Skel"), ("doorbell", "Doorbell")):
        api.store.save(database, meta | {"_id": f"webhooks_{id}", "name": name})
    kinds = {kind["id"]: kind for kind in api.data("GET", KINDS)}
    assert kinds["doorbell"] == {"id": "doorbell", "name": "Doorbell", "description": "d"}
    assert kinds.keys().isdisjoint({"callflow", "skel"})
    assert api.add_hook(hook="doorbell")["hook"] == "doorbell"


@pytest.mark.parametrize("master", [None, "", 5, PARENT, OTHER])
def test_a_master_account_that_is_none_has_nothing(api, master):
    before = api.data("GET", KINDS)
    api.store.ensure_database("system_config")
    config = {"_id": "accounts", "default": {"master_account_id": master}}
    api.store.save("system_config", config)
    database = account_database(PARENT)
    api.store.ensure_database(database)
    meta = {"pvt_type": "webhook_meta", "name": 7, "description": None, "modifiers": []}
    for id, more in (("odd", {}), ("gone", {"pvt_deleted": True}), ("other", {"pvt_type": "x"})):
        api.store.save(database, meta | {"_id": f"webhooks_{id}"} | more)
    added = [kind for kind in api.data("GET", KINDS) if kind not in before]
    odd = {"id": "odd", "name": "odd", "description": ""}
    assert added == ([odd] if master == PARENT else [])


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("filter_id=object", ["object"]),
        ("filter_name=Object", ["object"]),
        ("has_key=modifiers.type.items.webhook_disabled", ["notifications"]),
    ],
)
def test_kinds_are_filtered_by_all_that_they_hold(api, query, ids):
    assert [kind["id"] for kind in api.data("GET", f"{KINDS}?{query}", token=None)] == ids


def test_kinds_are_paged(api):
    whole = [kind["id"] for kind in api.data("GET", KINDS)]
    first = api.call("GET", f"{KINDS}?page_size=2").json()
    second = api.call("GET", f"{KINDS}?page_size=50&start_key={first['next_start_key']}").json()
    assert [k["id"] for k in first["data"] + second["data"]] == whole
    ascending, key = [], ""
    while key is not None:
        page = api.call("GET", f"{KINDS}?ascending=true&page_size=1{key}").json()
        ascending += [kind["id"] for kind in page["data"]]
        key = f"&start_key={page['next_start_key']}" if "next_start_key" in page else None
    assert ascending == whole[::-1]


def test_samples_are_listed_and_filtered(api):
    assert api.data("GET", f"{KINDS}/samples", token=None) == [
        "webhooks_channel_answer",
        "webhooks_channel_bridge",
        "webhooks_channel_create",
        "webhooks_channel_destroy",
        "webhooks_notifications",
        "webhooks_object",
        "webhooks_parking",
    ]
    path = f"{KINDS}/samples/webhooks_object?filter_action=doc_created"
    (created,) = api.data("GET", path, token=None)
    assert created["action"] == "doc_created"
    path = f"{KINDS}/samples/webhooks_notifications?filter_event_name=missed_call"
    assert [s["event_name"] for s in api.data("GET", path, token=None)] == ["missed_call"]
    answer = api.call("GET", f"{KINDS}/samples/webhooks_sms", token=None)
    assert answer.status_code == 404
    assert (answer.json()["message"], answer.json()["data"]) == (
        "bad identifier",
        ["webhooks_sms"],
    )


def test_samples_are_shown_as_developers_know_them(api):
    """The samples as they were released; receivers' tests may contain them."""
    released = json.loads((Path(__file__).parents[1] / "data" / "event_samples.json").read_text())
    for id, samples in released.items():
        assert api.data("GET", f"{KINDS}/samples/{id}", token=None) == samples
    assert api.data("GET", f"{KINDS}/samples", token=None) == sorted(released)


def test_samples_of_notifications_are_valid_ones():
    samples = {sample["event_name"]: sample for sample in SAMPLES["webhooks_notifications"]}
    assert samples.keys() == {type.name for type in NOTIFICATION_TYPES.values() if type.routing_key}
    for name, sample in samples.items():
        type = NOTIFICATION_TYPES[name]
        for header in type.required:
            assert header.lower().replace("-", "_") in sample, (name, header)
        for header, kind in type.kinds.items():
            value = sample.get(header.lower().replace("-", "_"))
            assert value is None or kind.holds(value), (name, header, value)


# Enabling hooks again


@pytest.mark.parametrize(
    ("path", "question"),
    [("webhooks", admin.EnableAccountHooks), ("descendants/webhooks", admin.EnableDescendantHooks)],
)
def test_hooks_are_enabled_page_by_page(api, path, question):
    def answer(asked):
        return admin.HooksEnabled((admin.AccountHooks(PARENT, 1, ("h",)),), pages[asked.after])

    pages = {(): (PARENT, "h"), (PARENT, "h"): None}
    api.backend.answers[question] = answer
    full = f"/v2/accounts/{PARENT}/{path}"
    assert api.data("PATCH", full, {"re-enable": "true"}) == "hooks updated"
    assert [(p, m.account, m.after) for p, m in api.backend.asked] == [
        ("maintenance", PARENT, ()),
        ("maintenance", PARENT, (PARENT, "h")),
    ]


@pytest.mark.parametrize(("data", "rule"), [({}, "required"), ({"re-enable": "no"}, "enum")])
def test_enabling_must_be_meant(api, data, rule):
    answer = api.call("PATCH", f"/v2/accounts/{PARENT}/webhooks", data)
    assert answer.status_code == 400
    assert list(answer.json()["data"]["re-enable"]) == [rule]


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (NoAnswer("maintenance is being restarted"), 503, "datastore timeout"),
        (RefusedByActor("no"), 500, "Request failed on the backend"),
        (
            admin.HooksEnabled((admin.AccountHooks(PARENT, problem="store away"),)),
            500,
            "Request failed on the backend",
        ),
    ],
)
def test_enabling_that_fails_says_so(api, answer, status, message):
    api.backend.answers[admin.EnableAccountHooks] = answer
    failed = api.call("PATCH", f"/v2/accounts/{PARENT}/webhooks", {"re-enable": True})
    assert (failed.status_code, failed.json()["message"]) == (status, message)
    if isinstance(answer, admin.HooksEnabled):
        assert failed.json()["data"]["cause"] == f"{PARENT}: store away"


def test_what_is_not_enabled_within_thirty_seconds_is_not_done(api, monkeypatch):
    clock, limits_s = [1000.0], []

    def enabled(_request):
        limits_s.append(api.backend.limits_s[admin.EnableAccountHooks])
        clock[0] += {30.0: 10.0, 20.0: 19.5}.get(limits_s[-1], 0.5)
        return admin.HooksEnabled((), ("a", "b"))

    api.backend.answers[admin.EnableAccountHooks] = enabled
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    failed = api.call("PATCH", f"/v2/accounts/{PARENT}/webhooks", {"re-enable": True})
    cause = "not done within 30 s: ask again to go on"
    assert (failed.status_code, failed.json()["data"]["cause"]) == (503, cause)
    assert limits_s == [30.0, 20.0, 0.5]


# The application itself


def test_the_process_says_that_it_lives_without_asking_anybody(api):
    api.backend.store = None
    assert api.call("GET", "/healthz", token=None).json()["status"] == "ok"


def test_the_openapi_document_is_served_and_tells_of_errors(api):
    document = api.client.get("/openapi.json").json()
    assert document["info"]["title"] == "Callboard"
    create = document["paths"]["/v2/accounts/{account_id}/webhooks"]["put"]
    assert {"201", "400", "401", "403", "409"} <= create["responses"].keys()
    body = create["requestBody"]["content"]["application/json"]["schema"]
    Draft202012Validator.check_schema(body)
    assert body["properties"]["data"] == {"$ref": "#/components/schemas/NewHook"}
    assert document["components"]["schemas"]["NewHook"]["required"] == ["hook", "name", "uri"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["tags"], (method, path)
            assert operation["summary"], (method, path)
    assert api.client.get("/docs").status_code == 404


def test_modules_of_other_buses_have_their_schema_and_samples(tmp_path):
    schema, samples = {"required": ["order"]}, ({"order": 7}, {"order": 8})
    common = {"exchange": "shop", "bindings": ("#",), "account": "a"}
    tables = (
        ModuleSettings(id="order_paid", schema=schema, samples=samples, **common),
        ModuleSettings(id="order_made", **common),
    )
    api = Api(tmp_path, Settings(modules=tables))
    kinds = {kind["id"]: kind for kind in api.data("GET", "/v2/webhooks", token=None)}
    assert (kinds["order_paid"]["schema"], kinds["order_paid"]["samples"]) == (schema, [*samples])
    assert kinds["order_made"].keys() == {"id", "name", "description"}
    assert "webhooks_order_paid" in api.data("GET", "/v2/webhooks/samples", token=None)
    assert "webhooks_order_made" not in api.data("GET", "/v2/webhooks/samples", token=None)
    path = "/v2/webhooks/samples/webhooks_order_paid"
    assert api.data("GET", path, token=None) == [*samples]
    assert api.data("GET", f"{path}?filter_order=8", token=None) == [{"order": 8}]
    assert api.call("GET", "/v2/webhooks/samples/webhooks_order_made").status_code == 404
