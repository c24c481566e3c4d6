"""Crossbar's envelopes: what responses hold, and which requests have any."""

import json

import pytest
from starlette.requests import Request

from callboard.actors.api.backend import node_facts
from callboard.config.settings import Settings
from callboard.web.access.state import RequestState
from callboard.web.access.tokens import Caller
from callboard.web.envelopes.envelope import Page, data_of, failure, names_revision, success
from callboard.web.errors import ApiError
from support.api import PARENT

NODE = node_facts(Settings())


def request(method="GET", body=b"", caller=None, token="", **headers):
    return Request(
        {
            "type": "http",
            "method": method,
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
            "callboard": RequestState(NODE, "r1", body, token, caller),
        }
    )


def content(response):
    """The body without its time, which is now in UTC, in whole seconds."""
    body = json.loads(response.body)
    time = body.pop("timestamp")
    assert (len(time), time[10], time[-1]) == (20, "T", "Z")
    return body


COMMON = {"status": "success", "request_id": "r1", "node": NODE.name}


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({}, {}),
        ({"revision": "1-a"}, {"revision": "1-a"}),
        ({"page": Page(2)}, {"page_size": 2}),
        (
            {"page": Page(0, "this", "next")},
            {"page_size": 0, "start_key": "this", "next_start_key": "next"},
        ),
        ({"page": Page(1, "", "")}, {"page_size": 1, "start_key": "", "next_start_key": ""}),
        ({"warnings": ()}, {}),
        ({"warnings": iter(["w"])}, {"warnings": ["w"]}),
    ],
)
def test_a_success(options, more):
    response = success(request(), [1], **options)
    assert (response.status_code, content(response)) == (200, COMMON | {"data": [1]} | more)


def test_status_and_headers_of_a_success():
    response = success(request("PUT"), {}, status=201, revision="1-a", headers={"Location": "h"})
    assert (response.status_code, response.headers["location"]) == (201, "h")
    assert response.headers["etag"] == '"1-a"'
    assert "etag" not in success(request(), {}).headers


@pytest.mark.parametrize(
    ("caller", "token", "more"),
    [
        (None, "", {}),
        (None, "t", {}),
        (Caller(PARENT), "", {"version": NODE.version}),
        (Caller(None), "t", {"version": NODE.version, "auth_token": "t"}),
    ],
)
def test_a_known_caller_is_told_the_version_and_its_token(caller, token, more):
    response = success(request(caller=caller, token=token), 1)
    assert content(response) == COMMON | {"data": 1} | more


@pytest.mark.parametrize(("method", "status"), [("GET", 304), ("POST", 200), ("DELETE", 200)])
def test_who_has_a_revision_is_not_sent_it_again(method, status):
    response = success(request(method, if_none_match='"1-a"'), 1, revision="1-a")
    assert (response.status_code, response.headers["etag"]) == (status, '"1-a"')
    assert bool(response.body) == (status == 200)


def test_a_failure():
    response = failure(request(), ApiError(429, "slow", {"message": "m"}, {"Retry-After": "5"}))
    assert (response.status_code, response.headers["retry-after"]) == (429, "5")
    assert content(response) == {
        **COMMON,
        "status": "error",
        "error": "429",
        "message": "slow",
        "data": {"message": "m"},
    }


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ('"1-a"', True),
        ("1-a", True),
        ('W/"1-a"', True),
        ('"1-b" ,  W/"1-a"', True),
        (" * ", True),
        ('"*"', False),
        ('"1-b"', False),
        ("", False),
    ],
)
def test_a_revision_is_named(given, named):
    """RFC 9110, 13.1.1 and 13.1.2."""
    assert names_revision(request(if_match=given), "if-match", "1-a") is named
    assert names_revision(request(), "if-match", "1-a") is False


def test_the_data_of_a_request_are_its_public_members():
    body = b'{"data": {"a": 1, "_b": 1, "pvt_c": 1, "pvt": 2}, "verb": "x"}'
    assert data_of(request(body=body)) == {"a": 1, "pvt": 2}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data": []}', b'{"data": "a"}'])
def test_a_request_without_data_is_refused(body):
    with pytest.raises(ApiError) as refused:
        data_of(request(body=body))
    told = {"message": 'the body must be {"data": {…}}, with an object'}
    assert (refused.value.status, refused.value.message, refused.value.data) == (
        *(400, "parse_error", told),
    )
