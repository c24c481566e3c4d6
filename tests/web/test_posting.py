"""Events posted over HTTP: published before they are accepted, and once a key."""

import asyncio
import json
import time
from concurrent.futures import Future

import httpx
import pytest
from attrs import evolve

from callboard.actors.messages import Published, RefusedByActor
from callboard.adapters.repositories.posted_events import DATABASE
from callboard.adapters.repositories.tokens import add_token, revoke_token
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.config.settings import (
    AmqpSettings,
    ApiSettings,
    ModuleSettings,
    QuotaSettings,
    Settings,
)
from support.api import ADMIN, OTHER, PARENT, WITH_EVENTS, Api
from support.patience import patient
from support.stores import Meddled, refuse

EVENT = {"name": "order.paid", "account_id": PARENT, "payload": {"order": 17}}


@pytest.fixture
def api(tmp_path):
    return Api(tmp_path, WITH_EVENTS, publish_s=0.05)


def post(api, data=EVENT, key="k1", **options):
    headers = {} if key is None else {"Idempotency-Key": key}
    return api.call("POST", "/v2/events", data, headers=headers, **options)


def test_an_event_is_published_for_its_account_and_named(api):
    answer = post(api)
    assert answer.status_code == 202, answer.text
    ((exchange, key, body, content_type),) = api.backend.published
    assert (exchange, key, content_type) == ("callboard", "order.paid", "application/json")
    message = json.loads(body)
    assert (message["Account-ID"], message["Data"]) == (PARENT, {"order": 17})
    assert message["Msg-ID"] == answer.json()["data"]["id"]


def test_the_same_key_and_body_have_the_same_answer_and_make_no_second_event(api):
    first, again = post(api), post(api)
    assert again.status_code == 202
    assert again.json()["data"] == first.json()["data"]
    assert len(api.backend.published) == 1
    assert post(api, key="k2").json()["data"] != first.json()["data"]
    assert post(api, EVENT | {"account_id": OTHER}).status_code == 202
    assert len(api.backend.published) == 3


def test_a_body_is_the_same_in_another_order_of_its_members(api):
    first = post(api, EVENT | {"payload": {"a": 1, "b": {"c": 2, "d": 3}}})
    again = post(api, EVENT | {"payload": {"b": {"d": 3, "c": 2}, "a": 1}})
    assert again.json()["data"] == first.json()["data"]
    assert len(api.backend.published) == 1


@pytest.mark.parametrize("change", [{"name": "order.sent"}, {"payload": {"order": 18}}])
def test_another_body_with_a_key_is_refused(api, change):
    post(api)
    answer = post(api, EVENT | change)
    assert (answer.status_code, answer.json()["message"]) == (422, "idempotency_key_reused")
    assert len(api.backend.published) == 1


NUMBERS = "[1.10, -0, 1e2, 3.141592653589793238462643, 123456789012345678901234567890]"


def post_text(api, payload, key=None):
    body = json.dumps({"data": EVENT | {"payload": {}}}).replace("{}", payload)
    headers = {"X-Auth-Token": api.backend.admin_token} | ({"Idempotency-Key": key} if key else {})
    return api.client.post("/v2/events", content=body, headers=headers)


def days_posted(api):
    return sorted(document["_id"][:8] for document in api.store.documents(DATABASE))


def test_a_post_deletes_records_older_than_a_day_once_a_minute(api, monkeypatch):
    clock = [1_700_000_000.0]  # 2023-11-14
    monkeypatch.setattr(time, "time", lambda: clock[0])
    post(api, key="first")
    assert days_posted(api) == ["20231114"]
    clock[0] += 2 * 86_400 - 59.5
    post(api, key="second")
    assert days_posted(api) == ["20231116"]
    add_records(api, "20231101", 1)
    clock[0] += 59.0
    post(api, key="third")
    assert "20231101" in days_posted(api)
    clock[0] += 1.0
    post(api, key="fourth")
    assert "20231101" not in days_posted(api)


def test_a_post_deletes_five_thousand_old_records_at_most(api):
    add_records(api, "20231101", 5003)
    post(api)
    assert days_posted(api).count("20231101") == 3


def add_records(api, day, count):
    api.store.ensure_database(DATABASE)
    records = [{"_id": f"{day}-{n}", "pvt_type": "posted_event"} for n in range(count)]
    api.store.save_many(DATABASE, records)


def test_numbers_are_published_as_they_are_spelt(api):
    assert post_text(api, f'{{"n": {NUMBERS}}}').status_code == 202
    ((_exchange, _key, body, _type),) = api.backend.published
    assert f'"Data":{{"n":{NUMBERS.replace(" ", "")}}}' in body.decode()


def test_numbers_that_only_look_alike_are_another_body(api):
    assert post_text(api, '{"n": [{"m": 1.10}]}', "k").status_code == 202
    assert post_text(api, '{"n": [{"m": 1.10}]}', "k").status_code == 202
    assert post_text(api, '{"n": [{"m": 1.100}]}', "k").status_code == 422
    assert len(api.backend.published) == 1


def test_a_name_has_two_hundred_characters_at_most(api):
    assert post(api, EVENT | {"name": "a" * 200}, key=None).status_code == 202
    assert post(api, EVENT | {"name": "a" * 201}, key=None).status_code == 400


def test_without_a_key_each_is_an_event(api):
    ids = {post(api, key=None).json()["data"]["id"] for _ in range(2)}
    assert len(ids) == len(api.backend.published) == 2


@pytest.mark.parametrize("failure", ["silent", RefusedByActor("the broker is down")])
def test_what_may_be_published_is_so_again_under_the_same_id(api, failure):
    """As after a death between the publishing and the note of it."""
    api.backend.broker = failure
    assert post(api).status_code == 503
    (noted,) = api.store.documents(DATABASE)
    api.backend.broker = None
    answer = post(api)
    assert answer.status_code == 202
    assert answer.json()["data"]["id"] == noted["event_id"]
    (message,) = [json.loads(body) for _e, _k, body, _c in api.backend.published]
    assert message["Msg-ID"] == noted["event_id"]
    assert message["Timestamp"] == noted["pvt_created"]


def test_while_the_broker_is_blocked_a_client_is_told_when_to_post_again(api):
    api.backend.broker = RefusedByActor("low on memory", "blocked")
    answer = post(api)
    assert (answer.status_code, answer.json()["message"]) == (503, "broker_blocked")
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["data"] == {"message": "low on memory", "retry_after_s": 5}
    api.backend.broker = RefusedByActor("too many", "busy")
    assert (post(api, key="b").status_code, post(api, key="b").json()["message"]) == (503, "busy")
    api.backend.broker = None
    assert post(api).status_code == 202
    assert len(api.backend.published) == 1


def test_while_the_broker_is_known_to_be_blocked_no_body_is_parsed(api):
    """Eight posts of 0.9 MB at once got the response after up to 436 ms."""
    token = {"X-Auth-Token": api.backend.admin_token}
    api.backend.why_posts_are_refused = "low on memory"

    def sent(method="POST", path="/v2/events", headers=token):
        return api.client.request(method, path, content=b'{"data": ', headers=headers)

    for path in ("/v2/events", "/v2/events/"):
        answer = sent(path=path)
        assert (answer.status_code, answer.json()["message"]) == (503, "broker_blocked")
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["data"] == {"message": "low on memory", "retry_after_s": 5}
    assert post(api, token="wrong").status_code == 401
    assert sent("PUT").status_code == 405
    assert api.backend.published == []
    api.backend.why_posts_are_refused = ""
    assert post(api).status_code == 202


def test_an_event_that_reaches_nobody_is_refused_and_may_come_again(api):
    api.backend.unroutable = 1
    answer = post(api)
    assert (answer.status_code, answer.json()["message"]) == (409, "event_unroutable")
    assert post(api, key=None).status_code == 409
    api.backend.unroutable = 0
    assert post(api, EVENT | {"payload": {}}).status_code == 202


def test_nothing_is_published_while_the_store_is_away(api):
    away = refuse(StoreUnavailable("connection refused"))
    api.backend.store = Meddled(api.store, get_many=away)
    assert post(api).status_code == 503
    assert api.backend.published == []


@pytest.mark.parametrize(
    ("data", "member"),
    [
        ({"name": "a b"}, "name"),
        ({"name": ".a"}, "name"),
        ({"name": "a" * 201}, "name"),
        ({"name": 7}, "name"),
        ({"payload": [1]}, "payload"),
        ({"payload": {"a": "deep"}}, "payload"),
        ({"account_id": "a/b"}, "account_id"),
        ({"paylod": {}}, "paylod"),
    ],
)
def test_what_is_no_event_is_refused(api, data, member):
    body = json.dumps({"data": EVENT | data})
    body = body.replace('"deep"', "[" * 150 + "]" * 150)
    headers = {"X-Auth-Token": api.backend.admin_token, "Idempotency-Key": "k"}
    answer = api.client.post("/v2/events", content=body, headers=headers)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()["data"]) == [member]
    assert api.backend.published == []


@pytest.mark.parametrize("key", ["", "a b", "a" * 201])
def test_an_odd_key_is_refused(api, key):
    answer = post(api, key=key)
    assert answer.status_code == 400
    refusal = {"message": "must be 1 to 200 printable characters", "value": key}
    assert answer.json()["data"] == {"Idempotency-Key": {"pattern": refusal}}


@pytest.mark.parametrize("key", [None, "k"])
def test_a_post_that_waits_for_the_broker_keeps_no_other_request_waiting(tmp_path, key):
    api = Api(tmp_path, evolve(WITH_EVENTS, quotas=QuotaSettings(requests=1)))
    token = {"X-Auth-Token": add_token(api.store, OTHER, "shop", 0).text}
    headers = token | ({} if key is None else {"Idempotency-Key": key})
    asked, published = asyncio.Event(), Future()

    def publish(_messages):
        asked.set()
        return published

    async def run():
        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            assert (await client.get("/v2/webhooks", headers=token)).status_code == 200
            data = {"data": {"name": "a", "payload": {}}}
            posting = asyncio.create_task(client.post("/v2/events", json=data, headers=headers))
            await asyncio.wait_for(asked.wait(), patient(10))
            looking = client.get("/v2/webhooks", headers=token)
            looked = await asyncio.wait_for(looking, patient(10))
            assert (looked.status_code, posting.done()) == (200, False)
            published.set_result(Published(1, 0))
            assert (await posting).status_code == 202

    api.backend.publish = publish
    asyncio.run(run())


@pytest.mark.parametrize(
    "settings",
    [None, Settings(api=ApiSettings(events=True), amqp=AmqpSettings(join_kazoo=True))],
)
def test_where_events_would_not_be_safe_it_is_said_what_to_set(tmp_path, settings):
    answer = post(Api(tmp_path / "off", settings))
    assert (answer.status_code, answer.json()["message"]) == (409, "events_not_enabled")
    assert "api.events" in answer.json()["data"]["message"]


def test_an_account_need_not_name_itself(api):
    token = add_token(api.store, OTHER, "shop", 0).text
    assert post(api, {"name": "a", "payload": {}}, token=token).status_code == 202
    assert json.loads(api.backend.published[0][2])["Account-ID"] == OTHER


# Loops


def post_with_hops(api, hops):
    return api.call("POST", "/v2/events", EVENT, headers={"callboard-hops": hops})


@pytest.mark.parametrize(("hops", "written"), [("0", None), ("1", 1), ("16", 16)])
def test_the_hops_of_a_delivery_go_on_with_the_event(api, hops, written):
    assert post_with_hops(api, hops).status_code == 202
    ((_exchange, _key, body, _type),) = api.backend.published
    assert json.loads(body).get("Hops") == written


def test_an_event_that_goes_round_is_refused_with_the_reason(api):
    answer = post_with_hops(api, "17")
    assert (answer.status_code, answer.json()["message"]) == (508, "loop_detected")
    assert "went round 16 times" in answer.json()["data"]["message"]
    assert api.backend.published == []


def test_an_event_that_no_delivery_caused_has_no_hops(api):
    assert api.call("POST", "/v2/events", EVENT).status_code == 202
    ((_exchange, _key, body, _type),) = api.backend.published
    assert "Hops" not in json.loads(body)


@pytest.mark.parametrize("name", ["_read_only", "_", "pvt_created", "pvt_"])
def test_private_members_are_dropped(api, name):
    assert api.call("POST", "/v2/events", EVENT | {name: 1}).status_code == 202
    assert api.call("POST", "/v2/events", EVENT | {"pvt": 1}).status_code == 400


@pytest.mark.parametrize("hops", ["", "-1", "many", "1.5", "1" * 10])
def test_hops_are_a_number(api, hops):
    assert post_with_hops(api, hops).status_code == 400


def test_a_repeat_of_a_post_keeps_the_hops(api):
    headers = {"callboard-hops": "3", "Idempotency-Key": "k"}
    assert api.call("POST", "/v2/events", EVENT, headers=headers).status_code == 202
    ((_exchange, _key, body, _type),) = api.backend.published
    assert json.loads(body)["Hops"] == 3


# Lists


def test_the_events_of_a_list_are_published_together_and_each_is_named(api):
    events = [EVENT | {"name": f"order.{n}", "payload": {"order": n}} for n in range(3)]
    answer = post(api, events, key=None)
    assert answer.status_code == 202, answer.text
    ids = [each["id"] for each in answer.json()["data"]]
    messages = [json.loads(body) for _exchange, _key, body, _type in api.backend.published]
    assert [message["Msg-ID"] for message in messages] == ids
    assert [message["Data"] for message in messages] == [{"order": n} for n in range(3)]
    assert [key for _exchange, key, _body, _type in api.backend.published] == [
        "order.0",
        "order.1",
        "order.2",
    ]
    assert len(set(ids)) == 3
    [alone] = post(api, events[:1], key=None).json()["data"]
    assert alone["id"] not in ids


def test_a_list_is_published_once_for_its_key(api):
    events = [EVENT, EVENT | {"payload": {"order": 18}}]
    first, again = post(api, events), post(api, events)
    assert (again.status_code, again.json()["data"]) == (202, first.json()["data"])
    assert len(api.backend.published) == 2
    for other in (events[::-1], events[:1], EVENT, [*events, EVENT]):
        assert post(api, other).status_code == 422
    assert len(api.backend.published) == 2


def test_a_list_that_may_be_published_is_so_again_under_the_same_ids(api):
    events = [EVENT, EVENT]
    api.backend.broker = RefusedByActor("the broker is down")
    assert post(api, events).status_code == 503
    (noted,) = api.store.documents(DATABASE)
    api.backend.broker = None
    ids = [each["id"] for each in post(api, events).json()["data"]]
    assert ids == [noted["event_id"], f"{noted['event_id']}-1"]
    times = {json.loads(body)["Timestamp"] for _e, _k, body, _c in api.backend.published}
    assert times == {noted["pvt_created"]}


@pytest.mark.parametrize(
    ("bad", "member"),
    [
        ({"name": "a b"}, "1.name"),
        ({"paylod": {}}, "1.paylod"),
        ({"account_id": OTHER}, "data"),
    ],
)
def test_of_a_list_with_a_fault_nothing_is_published(api, bad, member):
    answer = post(api, [EVENT, EVENT | bad], key=None)
    assert (answer.status_code, list(answer.json()["data"])) == (400, [member])
    assert api.backend.published == []


@pytest.mark.parametrize(
    ("change", "hops", "rules"),
    [
        ({"name": "a b"}, "0", ["pattern"]),
        ({}, "many", ["pattern"]),
        ({"payload": {"a": json.loads("[" * 150 + "]" * 150)}}, "0", ["error"]),
    ],
)
def test_the_rule_that_an_event_breaks(api, change, hops, rules):
    answer = api.call("POST", "/v2/events", EVENT | change, headers={"callboard-hops": hops})
    assert [list(found) for found in answer.json()["data"].values()] == [rules]


def test_the_events_of_a_list_have_one_account(api):
    answer = post(api, [EVENT, EVENT | {"account_id": OTHER}], key=None)
    message = {"message": "the events of a list must have one account"}
    assert (answer.status_code, answer.json()["data"]) == (400, {"data": {"error": message}})


def test_many_brackets_are_no_depth(api):
    assert post(api, EVENT | {"payload": {"a": [[]] * 200}}, key=None).status_code == 202


def test_a_list_with_an_event_of_another_account_is_forbidden(api):
    token = add_token(api.store, OTHER, "shop", 0).text
    answer = post(api, [EVENT | {"account_id": OTHER}, EVENT], key=None, token=token)
    assert (answer.status_code, answer.json()["data"]) == (403, {"message": "forbidden"})


@pytest.mark.parametrize("data", [[], [1], [EVENT, None], "text", 7, None, {}])
def test_what_is_neither_an_event_nor_a_list_of_events_is_refused(api, data):
    body = {"data": data}
    headers = {"X-Auth-Token": api.backend.admin_token}
    answer = api.client.post("/v2/events", json=body, headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (400, "parse_error")
    told = 'the body must be {"data": {…}}, with an event or a list of events'
    assert answer.json()["data"] == {"message": told}
    assert api.backend.published == []


@pytest.mark.parametrize(("count", "status"), [(1000, 202), (1001, 400)])
def test_a_list_has_a_thousand_events_at_most(tmp_path, count, status):
    few = {"name": "a", "account_id": PARENT, "payload": {}}
    api = Api(tmp_path, WITH_EVENTS)
    answer = post(api, [few] * count, key=None)
    assert answer.status_code == status
    if status == 400:
        rule = {"maxItems": {"message": "1000 are taken at a time", "target": 1000}}
        assert answer.json()["data"] == {"data": rule}
    assert len(api.backend.published) == (count if status == 202 else 0)


def test_the_events_of_a_list_count_for_the_rate_of_the_account(tmp_path):
    settings = evolve(WITH_EVENTS, quotas=evolve(WITH_EVENTS.quotas, events_per_s=10))
    api = Api(tmp_path, settings)
    assert post(api, [EVENT] * 8, key=None).status_code == 202
    assert post(api, [EVENT] * 8, key=None).status_code == 429
    assert post(api, [EVENT] * 2, key=None).status_code == 202
    assert len(api.backend.published) == 10


# A token


def test_a_token_that_was_revoked_posts_for_a_second_at_most(api):
    clock = [100.0]
    api.app.state.admission.tokens._clock = lambda: clock[0]
    token = add_token(api.store, OTHER, "shop", 0)
    event = {"name": "a", "payload": {}}
    assert post(api, event, key=None, token=token.text).status_code == 202
    revoke_token(api.store, token.facts.id)
    clock[0] += 0.9
    assert post(api, event, key=None, token=token.text).status_code == 202
    clock[0] += 0.2
    assert post(api, event, key=None, token=token.text).status_code == 401
    path = f"/v2/accounts/{OTHER}/webhooks"
    assert api.call("GET", path, token=token.text).status_code == 401


@pytest.mark.parametrize(
    "place",
    [
        {"headers": {"X-Auth-Token": ADMIN}},
        {"headers": {"Authorization": f"Bearer {ADMIN}"}},
        {"params": {"auth_token": ADMIN}},
        {"json": {"data": EVENT, "auth_token": ADMIN}},
        {},
    ],
)
def test_a_token_may_be_in_any_place(api, place):
    answer = api.client.post("/v2/events", **({"json": {"data": EVENT}} | place))
    assert answer.status_code == (202 if place else 401)
    echoed = "params" in place or "json" in place
    assert answer.json().get("auth_token") == (ADMIN if echoed else None)


ORDERS = ModuleSettings(
    id="order_paid",
    exchange="callboard",
    bindings=("order.*",),
    account="Account-ID",
    only={"Event-Name": "order.paid"},
    fields={"order": "Data.order"},
    schema={"required": ["order"], "properties": {"order": {"type": "integer"}}},
    validate="reject",
)


def test_a_post_that_a_schema_does_not_allow_is_refused(tmp_path):
    settings = evolve(WITH_EVENTS, modules=(ORDERS,))
    api = Api(tmp_path, settings)
    wrong = EVENT | {"payload": {"order": "17"}}
    for data, place in ((wrong, "payload"), ([EVENT, wrong], "1.payload")):
        answer = post(api, data)
        assert answer.status_code == 400
        assert answer.json()["data"] == {
            place: {
                "schema": {
                    "message": "the payload does not match the schema of order_paid: "
                    "order: '17' is not of type 'integer'"
                }
            }
        }
    assert api.backend.published == []
    # Neither with the event's key, nor with the values that the module responds to.
    for name in ("order.sent", "paid"):
        assert post(api, wrong | {"name": name}, None).status_code == 202
    assert post(api).status_code == 202
    assert len(api.backend.published) == 3


@pytest.mark.parametrize("change", [{"validate": "mark"}, {"exchange": "shop"}])
def test_a_schema_of_other_events_or_that_marks_refuses_no_post(tmp_path, change):
    api = Api(tmp_path, evolve(WITH_EVENTS, modules=(evolve(ORDERS, **change),)))
    assert post(api, EVENT | {"payload": {"order": "17"}}).status_code == 202
