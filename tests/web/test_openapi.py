"""The server against its own OpenAPI document (schemathesis): no failure of ours, and nothing
answered that the document does not tell of."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from callboard.actors.messages import GetHealth, GetMetrics, Health, MetricsText
from support.api import ADMIN, FINGERPRINT, PARENT, WITH_EVENTS, Api, whole_system

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    api = Api(tmp_path_factory.mktemp("openapi"), WITH_EVENTS)
    api.backend.answers |= whole_system()
    api.backend.answers |= {
        GetHealth: Health(True),
        GetMetrics: MetricsText("callboard_events_total 3\n", "text/plain; charset=utf-8"),
    }
    yield api
    api.store.close()


@pytest.fixture(scope="module")
def described(api):
    return schemathesis.openapi.from_asgi("/openapi.json", api.app)


_HOOK = "/v2/accounts/{account_id}/webhooks/{hook_id}"
_LETTERS = "/v2/accounts/{account_id}/webhooks/dead_letters"

OPERATIONS = [
    ("/v2/events", "POST"),
    (f"{_HOOK}/test", "PUT"),
    (f"{_HOOK}/deliveries", "DELETE"),
    (f"{_HOOK}/replay", "PUT"),
    (f"{_HOOK}/replay/{{run_id}}", "GET"),
    (f"{_HOOK}/replay/{{run_id}}", "DELETE"),
    (f"{_HOOK}/secrets", "GET"),
    (f"{_HOOK}/secrets", "PUT"),
    (f"{_HOOK}/secrets/{{fingerprint}}", "DELETE"),
    (_LETTERS, "GET"),
    (_LETTERS, "PATCH"),
    (f"{_LETTERS}/{{letter_id}}", "GET"),
    (f"{_LETTERS}/{{letter_id}}", "DELETE"),
    ("/v2/callboard/dead_letters", "GET"),
    ("/v2/callboard/dead_letters", "PATCH"),
    ("/v2/callboard/dead_letters/{letter_id}", "GET"),
    ("/v2/callboard/dead_letters/{letter_id}", "DELETE"),
    ("/v2/callboard/tree", "GET"),
    ("/v2/callboard/health", "GET"),
    ("/v2/callboard/figures", "GET"),
    ("/v2/callboard/endpoints", "GET"),
    ("/v2/callboard/hooks", "GET"),
    ("/v2/callboard/hooks/problems", "GET"),
    ("/v2/callboard/hooks/{hook_id}", "GET"),
    ("/v2/callboard/modules", "GET"),
    ("/v2/callboard/settings", "GET"),
    ("/v2/callboard/tokens", "GET"),
    ("/v2/callboard/tokens", "PUT"),
    ("/v2/callboard/tokens/{token_id}", "DELETE"),
    ("/v2/callboard/publish", "POST"),
    ("/v2/callboard/maintenance/{command}", "POST"),
    ("/v2/webhooks", "GET"),
    ("/v2/webhooks/samples", "GET"),
    ("/v2/webhooks/samples/{sample_id}", "GET"),
    ("/v2/accounts/{account_id}/webhooks", "GET"),
    ("/v2/accounts/{account_id}/webhooks", "PUT"),
    ("/v2/accounts/{account_id}/webhooks", "PATCH"),
    ("/v2/accounts/{account_id}/descendants/webhooks", "PATCH"),
    ("/v2/accounts/{account_id}/webhooks/attempts", "GET"),
    ("/v2/accounts/{account_id}/webhooks/{hook_id}", "GET"),
    ("/v2/accounts/{account_id}/webhooks/{hook_id}", "POST"),
    ("/v2/accounts/{account_id}/webhooks/{hook_id}", "PATCH"),
    ("/v2/accounts/{account_id}/webhooks/{hook_id}", "DELETE"),
    ("/v2/accounts/{account_id}/webhooks/{hook_id}/attempts", "GET"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/metrics", "GET"),
]


def test_every_operation_is_tried(described):
    there = {(r.ok().path, r.ok().method.upper()) for r in described.get_all_operations()}
    assert there == set(OPERATIONS)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_is_answered_is_what_is_described(api, described, path, method):
    hook, letter = api.add_hook()["id"], api.add_letter("l1")

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def answers_as_described(data):
        case = data.draw(described[path][method].as_strategy())
        if "hook_id" in case.path_parameters and data.draw(st.booleans()):
            case.path_parameters |= {"account_id": PARENT, "hook_id": hook}
        known = {"fingerprint": FINGERPRINT, "letter_id": letter, "command": "failure_status"}
        for name in known.keys() & case.path_parameters.keys():
            if data.draw(st.booleans()):
                case.path_parameters[name] = known[name]
        case.call_and_validate(headers={"X-Auth-Token": ADMIN}, checks=CHECKS)

    answers_as_described()
