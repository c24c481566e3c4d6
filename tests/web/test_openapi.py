"""The server against its own OpenAPI document (schemathesis): no failure of ours, and no response,
parameter or member that the document does not tell of, or tells of in vain.

`CALLBOARD_TEST_FUZZ=20000` sends more requests to each operation.
"""

import copy
import json
import os
import re
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.datastructures import Headers, QueryParams

from callboard.actors.messages import GetHealth, GetMetrics, Health, MetricsText
from callboard.adapters.repositories.dead_letters import DeadLetterStore
from callboard.adapters.repositories.tokens import add_token
from callboard.adapters.store.views import MODB
from callboard.web.access.throttling import Guard
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.attempts import attempt_database, attempt_document
from callboard.webhooks.history.dead_letters import dead_letter, poison_dead_letter
from callboard.webhooks.retries.outcome import ClientError
from callboard.webhooks.retries.outcome import Response as Answer
from support.api import ADMIN, FINGERPRINT, OTHER, PARENT, WITH_EVENTS, Api, whole_system
from support.fuzz import TIMEOUT_S, fuzzed

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
GOLDEN = Path(__file__).parents[1] / "data" / "openapi.json"
NOW = 1_790_000_000.0


class Forgiving(Guard):
    """Lets wrong tokens of these tests not wait."""

    def wait_s(self, *_client):
        return 0


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    api = Api(tmp_path_factory.mktemp("openapi"), WITH_EVENTS)
    api.app.state.guard = Forgiving()
    api.backend.answers |= whole_system()
    api.backend.answers |= {
        GetHealth: Health(),
        GetMetrics: MetricsText("callboard_events_total 3\n", "text/plain; charset=utf-8"),
    }
    yield api
    api.store.close()


@pytest.fixture(scope="module")
def document(api):
    return api.client.get("/openapi.json").json()


@pytest.fixture(scope="module")
def described(api, document):
    found = schemathesis.openapi.from_dict(strict(document))
    found.app = api.app
    return found


def strict(document):
    """The document, in which objects of responses have no members beyond those named."""
    document = copy.deepcopy(document)
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                for content in response.get("content", {}).values():
                    close(content["schema"])
    for component in document["components"]["schemas"].values():
        close(component)
    return document


def close(schema):
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    for one in (*inner, schema.get("items"), schema.get("additionalProperties")):
        if isinstance(one, dict):
            close(one)


_ACCOUNT = "/v2/accounts/{account_id}"
_HOOKS = f"{_ACCOUNT}/webhooks"
_HOOK = f"{_HOOKS}/{{hook_id}}"
_LETTERS = f"{_HOOKS}/dead_letters"
_ALL_LETTERS = "/v2/callboard/dead_letters"
_NEW = {"name": "n", "uri": "https://hooks.example.com/a", "hook": "channel_create"}
_ENABLE = {"re-enable": True}
_RETRY = {"action": "retry", "ids": ["none"]}
_MESSAGE = {"exchange": "e", "routing_key": "k", "body": {}}

OPERATIONS = {
    ("/v2/events", "POST"): (202, {"name": "paid", "payload": {}, "account_id": PARENT}),
    (f"{_HOOKS}/preview", "POST"): (200, {"hook": {"filter": "a"}, "payload": {}}),
    (f"{_HOOKS}/bulk", "POST"): (200, {"hooks": [], "dry_run": True}),
    (f"{_HOOK}/test", "PUT"): (200, None),
    (f"{_HOOK}/deliveries", "GET"): (200, None),
    (f"{_HOOK}/deliveries", "DELETE"): (200, None),
    (f"{_HOOK}/deliveries/retry", "POST"): (200, None),
    (f"{_HOOK}/replay", "PUT"): (202, {"dry_run": True}),
    (f"{_HOOK}/replay/{{run_id}}", "GET"): (200, None),
    (f"{_HOOK}/replay/{{run_id}}", "DELETE"): (200, None),
    (f"{_HOOK}/secrets", "GET"): (200, None),
    (f"{_HOOK}/secrets", "PUT"): (201, {"kind": "ed25519"}),
    (f"{_HOOK}/secrets/{{fingerprint}}", "DELETE"): (200, None),
    (f"{_HOOK}/attempts/{{month}}/{{attempt_id}}", "GET"): (200, None),
    (f"{_HOOK}/statistics", "GET"): (200, None),
    (f"{_ACCOUNT}/portal/links", "PUT"): (201, {"rights": "read"}),
    (f"{_ACCOUNT}/portal/links", "DELETE"): (200, None),
    (_LETTERS, "GET"): (200, None),
    (f"{_LETTERS}/count", "GET"): (200, None),
    (_LETTERS, "PATCH"): (200, _RETRY),
    (f"{_LETTERS}/{{letter_id}}", "GET"): (200, None),
    (f"{_LETTERS}/{{letter_id}}", "DELETE"): (200, None),
    (_ALL_LETTERS, "GET"): (200, None),
    (f"{_ALL_LETTERS}/count", "GET"): (200, None),
    (_ALL_LETTERS, "PATCH"): (200, _RETRY),
    (f"{_ALL_LETTERS}/{{letter_id}}", "GET"): (200, None),
    (f"{_ALL_LETTERS}/{{letter_id}}", "DELETE"): (200, None),
    ("/v2/callboard/tree", "GET"): (200, None),
    ("/v2/callboard/health", "GET"): (200, None),
    ("/v2/callboard/figures", "GET"): (200, None),
    ("/v2/callboard/endpoints", "GET"): (200, None),
    ("/v2/callboard/endpoints/close", "POST"): (200, {"endpoint": "https://a.example"}),
    ("/v2/callboard/hooks", "GET"): (200, None),
    ("/v2/callboard/hooks/count", "GET"): (200, None),
    ("/v2/callboard/hooks/problems", "GET"): (200, None),
    ("/v2/callboard/hooks/{hook_id}", "GET"): (200, None),
    ("/v2/callboard/modules", "GET"): (200, None),
    ("/v2/callboard/settings", "GET"): (200, None),
    ("/v2/callboard/tokens", "GET"): (200, None),
    ("/v2/callboard/tokens", "PUT"): (201, {"account_id": OTHER}),
    ("/v2/callboard/tokens/{token_id}", "DELETE"): (200, None),
    ("/v2/callboard/publish", "POST"): (202, _MESSAGE),
    ("/v2/callboard/maintenance/{command}", "POST"): (200, {}),
    ("/v2/webhooks", "GET"): (200, None),
    ("/v2/webhooks/samples", "GET"): (200, None),
    ("/v2/webhooks/samples/{sample_id}", "GET"): (200, None),
    (_HOOKS, "GET"): (200, None),
    (_HOOKS, "PUT"): (201, _NEW),
    (_HOOKS, "PATCH"): (200, _ENABLE),
    (f"{_ACCOUNT}/descendants/webhooks", "PATCH"): (200, _ENABLE),
    (f"{_HOOKS}/attempts", "GET"): (200, None),
    (f"{_HOOKS}/deliveries", "GET"): (200, None),
    (_HOOK, "GET"): (200, None),
    (_HOOK, "POST"): (200, _NEW),
    (_HOOK, "PATCH"): (200, {"name": "other"}),
    (_HOOK, "DELETE"): (200, None),
    (f"{_HOOK}/attempts", "GET"): (200, None),
    ("/healthz", "GET"): (200, None),
    ("/readyz", "GET"): (200, None),
    ("/metrics", "GET"): (200, None),
}
"""Of each operation: the `data` of a request with which it succeeds, and the status."""

OPEN = {"/v2/webhooks", "/v2/webhooks/samples", "/v2/webhooks/samples/{sample_id}"}
WITHOUT_TOKENS = {"/healthz", "/readyz"}
PLACES = {"auth_token"}
"""Of a token, which is looked for there if it is nowhere else (tests/web/test_access.py)."""
OF_EVERY_REQUEST = {
    *("content-type", "content-length", "transfer-encoding", "cookie"),  # the framework's
    "x-request-id",  # the document's description tells of it
    *("host", "origin", "sec-fetch-site", "sec-fetch-mode"),  # of browsers
    "x-forwarded-for",  # of proxies
}
"""Headers that are no parameters of one operation."""


@pytest.fixture
def names(api):
    """Values of the paths' parameters, for which there is something."""
    hook = api.add_hook()["id"]
    run = api.data("PUT", f"/v2/accounts/{PARENT}/webhooks/{hook}/replay", {"dry_run": True})["id"]
    letter, attempt = keep_history(api, hook)
    return {
        "account_id": PARENT,
        "hook_id": hook,
        "run_id": run,
        "letter_id": letter,
        "month": attempt.partition("/")[0],
        "attempt_id": attempt.partition("/")[2],
        "fingerprint": FINGERPRINT,
        "token_id": add_token(api.store, OTHER, "to be revoked", NOW).facts.id,
        "command": "failure_status",
        "sample_id": "webhooks_channel_create",
    }


def keep_history(api, hook):
    """Attempts of each result and dead letters of each kind. Returns the ids of a letter of a
    delivery and of an attempt."""
    now = time.time()
    delivery = Delivery(
        id=uuid.uuid4().hex,
        event_id="e",
        hook_id=hook,
        account_id=PARENT,
        hook_event="CHANNEL_CREATE",
        uri="https://e.example/in",
        method="POST",
        url="https://e.example/in",
        headers=(("Content-Type", "application/json"),),
        body=b'{"a": 1}',
        max_attempts=3,
    )
    database = attempt_database(delivery, now)
    api.store.ensure_database(database)
    api.store.ensure_views(database, MODB)
    refused, done = Answer(500, {"Server": "x"}, b"no"), Answer(200)
    for left, outcome in ((3, refused), (2, ClientError("timeout")), (1, refused), (1, done)):
        attempt = attempt_document(delivery, outcome, left, now, 1000, took_s=0.2)
        attempt_id = uuid.uuid4().hex
        api.store.save(database, {"_id": attempt_id, **attempt})
    record = {
        "module": "sms",
        "reason": "no valid message",
        "exchange": "im",
        "routing_key": "sms.inbound",
        "content_type": "application/json",
        "content_encoding": None,
        "message_id": None,
        "headers": {"traceparent": "00-1-2-01"},
        "body": b"\xff".hex(),
        "raw": {"properties": "gAA="},
        "set_aside_at": now,
    }
    exhausted = dead_letter(delivery, "timeout", 2, ((1_699_999_000_000, "timeout"),), now, "n")
    DeadLetterStore(api.store).add([exhausted, poison_dead_letter(record, 1, "n")])
    return exhausted["_id"], f"{database[-6:]}/{attempt_id}"


def called(api, path, method, names, *, token=ADMIN, **options):
    """The response to the request of OPERATIONS."""
    _status, data = OPERATIONS[path, method]
    return api.call(method, path.format(**names), data, token=token, **options)


def validated(described, path, method, answer):
    """The response, which is as the document says."""
    described[path][method].Case().validate_response(answer, checks=CHECKS)


_FILTER = re.compile("filter_.*", re.DOTALL)
"""The names that the one documented parameter `filter` stands for."""


class Reads:
    """The names of query parameters and headers that were looked up, in lower case."""

    def __init__(self):
        self.query = set()
        self.headers = set()


@contextmanager
def reads_seen(monkeypatch):
    """Observes the framework's query and headers, by which the server reads all of them."""
    seen = Reads()

    def observe(cls, method, note):
        original = getattr(cls, method)

        def observed(self, *arguments):
            if type(self) is cls:  # the response's headers are of a subclass
                note(*arguments)
            return original(self, *arguments)

        patch.setattr(cls, method, observed)

    with monkeypatch.context() as patch:
        for method in ("__getitem__", "__contains__", "getlist"):
            observe(QueryParams, method, lambda name: seen.query.add(_FILTER.sub("filter", name)))
            observe(Headers, method, lambda name: seen.headers.add(name.lower()))
        # Only the filters look at every name.
        observe(QueryParams, "__iter__", lambda: seen.query.add("filter"))
        for method in ("items", "multi_items", "values"):
            observe(QueryParams, method, lambda: seen.query.add("anything"))
        for method in ("__iter__", "items", "keys", "values"):
            observe(Headers, method, lambda: seen.headers.add("anything"))
        yield seen


def parameters(document, path, method):
    """The documented names of query parameters and headers, with those of tokens."""
    operation = document["paths"][path][method.lower()]
    found = [(one["in"], one["name"]) for one in operation.get("parameters", ())]
    schemes = document["components"]["securitySchemes"]
    for name in {name for way in operation.get("security", ()) for name in way}:
        scheme = schemes[name]
        found.append((scheme.get("in", "header"), scheme.get("name", "authorization")))
    assert len(found) == len(set(found))
    return (
        {name for place, name in found if place == "query"},
        {name.lower() for place, name in found if place == "header"},
    )


def test_clients_made_from_it_have_short_names_and_send_only_what_they_are_given(document):
    operations = [each for path in document["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z]+(_[a-z]+){0,5}", name) for name in names), names
    bodies = json.dumps([each.get("requestBody") for each in operations])
    changes = [document["components"]["schemas"][name] for name in ("NewHook", "HookChange")]
    assert '"default"' not in bodies + json.dumps(changes)


def test_every_operation_is_tried(described):
    there = {(r.ok().path, r.ok().method.upper()) for r in described.get_all_operations()}
    assert there == OPERATIONS.keys()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_it_succeeds_as_described(api, described, names, path, method):
    answer = called(api, path, method, names)
    assert answer.status_code == OPERATIONS[path, method][0], answer.text
    validated(described, path, method, answer)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_a_slash_at_the_end_changes_nothing(api, described, names, path, method):
    status, data = OPERATIONS[path, method]
    answer = api.call(method, path.format(**names) + "/", data)
    assert answer.status_code == status, answer.text
    validated(described, path, method, answer)


@pytest.mark.parametrize("path", [path for path, method in OPERATIONS if method == "GET"])
def test_head_has_the_headers_of_get_and_no_body(api, names, path):
    get, head, later = (
        api.call(method, path.format(**names), headers={"X-Request-ID": "one"})
        for method in ("GET", "HEAD", "GET")
    )
    assert head.content == b""
    # A response may name the second of its time, which may end in between.
    assert head.headers in (get.headers, later.headers)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_it_refuses_tokens_as_described(api, described, names, path, method):
    other = add_token(api.store, OTHER, "another account's", NOW).text
    operation = described[path][method]
    declared = operation.definition.raw.get("security", [])
    assert bool(declared) == (path not in WITHOUT_TOKENS)
    assert ({} in declared) == (path in OPEN)
    done = OPERATIONS[path, method][0]
    for token, status in ((None, 401), ("wrong", 401), (other, 403)):
        if path in WITHOUT_TOKENS or (path in OPEN and token != "wrong"):
            status = done
        answer = called(api, path, method, names, token=token)
        assert answer.status_code == status, (token, answer.text)
        validated(described, path, method, answer)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_it_reads_the_parameters_that_it_describes(api, document, names, path, method, monkeypatch):
    with reads_seen(monkeypatch) as seen:
        answer = called(api, path, method, names)
    assert answer.status_code == OPERATIONS[path, method][0], answer.text
    query, headers = parameters(document, path, method)
    assert seen.query | PLACES == query | PLACES
    assert seen.headers - OF_EVERY_REQUEST == headers


@pytest.mark.parametrize(
    ("path", "method"), [key for key, (_status, data) in OPERATIONS.items() if data is not None]
)
def test_it_refuses_members_that_it_does_not_describe(api, document, names, path, method):
    """Where it refuses any: hooks keep members that they do not know, as in Kazoo."""
    operation = document["paths"][path][method.lower()]
    envelope = operation["requestBody"]["content"]["application/json"]["schema"]
    answer = api.call(method, path.format(**names), {"surplus": 1})
    found = answer.json()["data"].get("surplus")
    if isinstance(found, dict):
        told = re.sub("^there are only (none)?", "", found["additionalProperties"]["message"])
        data = envelope["properties"]["data"]
        one, *_list = data.get("anyOf", [data])
        one = document["components"]["schemas"].get(one.get("$ref", "").rpartition("/")[2], one)
        expected = one["properties"].keys()
        if path.startswith("/v2/callboard/maintenance"):
            expected = {"account"}  # of the members of all commands, that of failure_status
        assert set(told.split(", ")) == expected
    else:
        assert path in {_HOOKS, _HOOK, f"{_ACCOUNT}/descendants/webhooks"}


def test_a_document_that_the_client_has_is_not_sent_again(api, described, names):
    for path in (_HOOK, "/v2/callboard/hooks/{hook_id}"):
        etag = called(api, path, "GET", names).headers["etag"]
        answer = called(api, path, "GET", names, headers={"If-None-Match": etag})
        assert answer.status_code == 304
        validated(described, path, "GET", answer)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_a_body_that_is_too_long_is_refused_as_described(api, described, names, path, method):
    answer = api.client.request(method, path.format(**names), content=b"x" * 1_100_000)
    assert answer.status_code == 413
    validated(described, path, method, answer)


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_is_answered_is_what_is_described(
    api, document, described, names, path, method, monkeypatch
):
    query, headers = parameters(document, path, method)

    @fuzzed(0.2)
    @given(st.data())
    def answers_as_described(data):
        case = data.draw(described[path][method].as_strategy())
        for name in names.keys() & case.path_parameters.keys():
            if data.draw(st.booleans()):
                case.path_parameters[name] = names[name]
        if isinstance(case.body, dict):
            case.body.pop("verb", None)  # It makes the request one of another method.
        with reads_seen(monkeypatch) as seen:
            answer = case.call(headers={"X-Auth-Token": ADMIN})
        case.validate_response(answer, checks=CHECKS)
        assert seen.query <= query
        assert seen.headers - OF_EVERY_REQUEST <= headers

    answers_as_described()


def test_the_document_is_as_it_was(document):
    """A changed document is a changed interface: clients are made from it.

    `CALLBOARD_RENEW_OPENAPI=1 python -m pytest tests/web/test_openapi.py` writes the file.
    """
    if os.environ.get("CALLBOARD_RENEW_OPENAPI"):
        lines = ",\n".join(json.dumps(part, sort_keys=True) for part in parts_of(document))
        GOLDEN.write_text(f"[\n{lines}\n]\n")
    was = {part[0]: part for part in json.loads(GOLDEN.read_text())}
    now = {part[0]: part for part in parts_of(document)}
    assert now.keys() == was.keys()
    for name, part in now.items():
        assert part == was[name], name


def parts_of(document):
    """A name and the content: for each operation, each component and the rest."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield [f"{method} {path}", operation]
    for kind, components in document["components"].items():
        for name, component in components.items():
            yield [f"{kind} {name}", component]
    yield ["rest", {k: document[k] for k in document.keys() - {"paths", "components", "info"}}]
