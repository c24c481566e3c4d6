"""The errors of the API: Crossbar's words, statuses and facts."""

import pytest

from callboard.actors.messages import RefusedByActor
from callboard.web import errors
from callboard.webhooks.hooks.quotas import excess


@pytest.mark.parametrize(
    ("make", "status", "message", "data", "headers"),
    [
        (
            lambda: errors.ApiError(418, "a_tea_pot"),
            418,
            "a_tea_pot",
            {"message": "a tea pot"},
            {},
        ),
        (
            lambda: errors.invalid_member("a", "minimum", "too small", target=1),
            400,
            "validation error",
            {"a": {"minimum": {"message": "too small", "target": 1}}},
            {},
        ),
        (
            lambda: errors.bad_identifier("x"),
            404,
            "bad_identifier",
            {"message": "bad identifier", "cause": "x"},
            {},
        ),
        (
            lambda: errors.invalid_credentials(),
            401,
            "invalid_credentials",
            {"message": "invalid credentials"},
            {"WWW-Authenticate": "Bearer"},
        ),
        (lambda: errors.forbidden(), 403, "forbidden", {"message": "forbidden"}, {}),
        (
            lambda: errors.too_many_requests(7),
            429,
            "too_many_requests",
            {"message": "too many wrong tokens from this address", "retry_after_s": 7},
            {"Retry-After": "7"},
        ),
        (
            lambda: errors.conflict(),
            409,
            "datastore_conflict",
            {"message": "datastore conflict"},
            {},
        ),
        (
            lambda: errors.precondition_failed(),
            412,
            "precondition_failed",
            {"message": "precondition failed"},
            {},
        ),
        (
            lambda: errors.datastore_fault(),
            503,
            "datastore_fault",
            {"message": "datastore fatal error"},
            {},
        ),
        (
            lambda: errors.datastore_timeout("late"),
            503,
            "datastore timeout",
            {"message": "datastore timeout", "cause": "late"},
            {},
        ),
        (
            lambda: errors.backend_failed("no"),
            500,
            "Request failed on the backend",
            {"message": "request failed", "cause": "no"},
            {},
        ),
        (
            lambda: errors.quota_exceeded(excess("hooks", "hooks", 3, "there are 3 hooks")),
            409,
            "quota_exceeded",
            {
                "message": "there are 3 hooks: quotas.hooks allows 3",
                "setting": "quotas.hooks",
                "limit": 3,
            },
            {},
        ),
        (
            lambda: errors.quota_exceeded(excess("hook", "hook_bytes", 9, "hook has 10 bytes")),
            400,
            "validation error",
            {
                "hook": {
                    "quota": {
                        "message": "hook has 10 bytes: quotas.hook_bytes allows 9",
                        "setting": "quotas.hook_bytes",
                        "target": 9,
                    }
                }
            },
            {},
        ),
        (
            lambda: errors.refused(RefusedByActor("too many", "quota", "quotas.test_deliveries")),
            429,
            "too_many_requests",
            {"message": "too many", "setting": "quotas.test_deliveries", "retry_after_s": 5},
            {"Retry-After": "5"},
        ),
        (
            lambda: errors.over_rate("slower", "quotas.events_per_second"),
            429,
            "too_many_requests",
            {"message": "slower", "setting": "quotas.events_per_second", "retry_after_s": 1},
            {"Retry-After": "1"},
        ),
        (
            lambda: errors.refused(RefusedByActor("full", "busy")),
            503,
            "busy",
            {"message": "full"},
            {"Retry-After": "5"},
        ),
        (
            lambda: errors.refused(RefusedByActor("low on memory", "blocked")),
            503,
            "broker_blocked",
            {"message": "low on memory", "retry_after_s": 5},
            {"Retry-After": "5"},
        ),
        (
            lambda: errors.refused(
                RefusedByActor("not here", "setting", "delivery.waiting_index_mb")
            ),
            409,
            "not_on_this_node",
            {"message": "not here", "setting": "delivery.waiting_index_mb"},
            {},
        ),
        (
            lambda: errors.refused(RefusedByActor("no")),
            500,
            "Request failed on the backend",
            {"message": "request failed", "cause": "no"},
            {},
        ),
    ],
)
def test_an_error(make, status, message, data, headers):
    error = make()
    assert (error.status, error.message, error.data, error.headers) == (
        *(status, message, data, headers),
    )


def test_a_dot_in_a_name_is_none_of_a_path():
    assert errors.path_part("a.b") == "a%2Eb"
    assert errors.path_part("ab") == "ab"
