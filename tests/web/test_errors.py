"""The errors of the API: Crossbar's words, statuses and facts."""

import pytest

from callboard.web import errors


@pytest.mark.parametrize(
    ("error", "status", "message", "data", "headers"),
    [
        (
            errors.ApiError(418, "a_tea_pot"),
            418,
            "a_tea_pot",
            {"message": "a tea pot"},
            {},
        ),
        (
            errors.invalid_member("a", "minimum", "too small", target=1),
            400,
            "validation error",
            {"a": {"minimum": {"message": "too small", "target": 1}}},
            {},
        ),
        (
            errors.bad_identifier("x"),
            404,
            "bad_identifier",
            {"message": "bad identifier", "cause": "x"},
            {},
        ),
        (
            errors.invalid_credentials(),
            401,
            "invalid_credentials",
            {"message": "invalid credentials"},
            {"WWW-Authenticate": "Bearer"},
        ),
        (errors.forbidden(), 403, "forbidden", {"message": "forbidden"}, {}),
        (
            errors.too_many_requests(7),
            429,
            "too_many_requests",
            {"message": "too many wrong tokens from this address", "retry_after_s": 7},
            {"Retry-After": "7"},
        ),
        (errors.conflict(), 409, "datastore_conflict", {"message": "datastore conflict"}, {}),
        (
            errors.precondition_failed(),
            412,
            "precondition_failed",
            {"message": "precondition failed"},
            {},
        ),
        (
            errors.datastore_fault(),
            503,
            "datastore_fault",
            {"message": "datastore fatal error"},
            {},
        ),
        (
            errors.datastore_timeout("late"),
            503,
            "datastore timeout",
            {"message": "datastore timeout", "cause": "late"},
            {},
        ),
        (
            errors.backend_failed("no"),
            500,
            "Request failed on the backend",
            {"message": "request failed", "cause": "no"},
            {},
        ),
    ],
)
def test_an_error(error, status, message, data, headers):
    assert (error.status, error.message, error.data, error.headers) == (
        *(status, message, data, headers),
    )


def test_a_dot_in_a_name_is_none_of_a_path():
    assert errors.path_part("a.b") == "a%2Eb"
    assert errors.path_part("ab") == "ab"
