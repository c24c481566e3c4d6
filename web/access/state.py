"""A request's state, in addition to the framework's."""

import json
import math
import random
import re
from collections.abc import Callable
from typing import Any

from attrs import define, field
from fastapi import Request

from callboard.web.access.tokens import Caller
from callboard.web.backend import NodeFacts
from callboard.web.errors import ApiError
from callboard.webhooks.events.event import WRITABLE_NESTING, brackets, too_deep
from callboard.webhooks.values.exact_numbers import json_read, plain_json

_ALWAYS_FINITE = 308
"""The most digits with which an integer always fits in a float."""
_REQUEST_ID = re.compile(r"[!-~]{1,100}")


@define
class RequestState:
    """One request's state. `body`: all of it; `caller`: set once the token is valid.

    `echoed_token`: the valid token if it came in the envelope or the query, as Kazoo's clients send
    it: they expect it in the response. One that came in a header is not repeated.
    `give_back_slot`: for requests that wait long without a thread (access/admission.py).
    """

    node: NodeFacts
    request_id: str
    body: bytes = field(default=b"", repr=False)
    echoed_token: str = field(default="", repr=False)
    caller: Caller | None = None
    give_back_slot: Callable[[], None] = field(default=lambda: None, repr=False)
    _parsed: dict[str, Any] | None = None
    _is_exact: bool = False

    def envelope(self) -> dict[str, Any]:
        """The body's JSON object; empty without a body. Raises ApiError."""
        return dict(self._read())

    def exact(self) -> dict[str, Any]:
        """The same, with its numbers as they are spelt (values/exact_numbers.py)."""
        parsed = self._read()
        return parsed if self._is_exact else json_read(self.body)

    def _read(self) -> dict[str, Any]:
        if self._parsed is None:
            self._parsed, self._is_exact = _object(self.body)
        return self._parsed

    def peek(self, key: str) -> Any:
        """A member of the envelope; None if the body has no envelope."""
        try:
            return self.envelope().get(key)
        except ApiError:
            return None


def state_of(request: Request) -> RequestState:
    """The state of this request."""
    state: RequestState = request.scope["callboard"]
    return state


def header_token(request: Request) -> str:
    """The token in the headers; empty if there is none."""
    scheme, _blank, bearer = request.headers.get("authorization", "").partition(" ")
    bearer = bearer.strip() if scheme.lower() == "bearer" else ""
    return request.headers.get("x-auth-token", "") or bearer


def query_token(request: Request) -> str:
    """The token in the query; empty if there is none."""
    return request.query_params.get("auth_token", "")


def request_id(given: str | None) -> str:
    """The client's id for the request, if it is valid in a header; else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else new_id()


def new_id() -> str:
    """An id that nothing else has; no secret. `uuid4` asks the kernel, for a tenth of a post."""
    return f"{random.getrandbits(128):032x}"


def _object(body: bytes) -> tuple[dict[str, Any], bool]:
    """The object, and whether its numbers are as they are spelt."""
    if not body.strip():
        return {}, True
    try:
        try:
            parsed, is_exact = plain_json(body), True
        except ValueError:
            parsed, is_exact = _unusual(body), False
        if brackets(body) > WRITABLE_NESTING and too_deep(parsed, WRITABLE_NESTING):
            raise ValueError(f"it has more than {WRITABLE_NESTING} levels")
    except (ValueError, RecursionError) as problem:
        raise ApiError(
            400, "parse_error", {"message": f"the body is not JSON: {problem}"}
        ) from None
    if not isinstance(parsed, dict):
        raise ApiError(400, "parse_error", {"message": "the body is no JSON object"})
    return parsed, is_exact


def _unusual(body: bytes) -> Any:
    text = body.decode(json.detect_encoding(body))
    parsed = json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_integer)
    if "\\u" in text:  # a lone surrogate, which no store and no broker accepts
        json.dumps(parsed, ensure_ascii=False).encode()
    return parsed


def _integer(number: str) -> int:
    if len(number) > _ALWAYS_FINITE:
        _finite(number)
    return int(number)


def _finite(number: str) -> float:
    read = float(number)
    if math.isinf(read):
        raise ValueError(f"the number {number[:20]} is too large")
    return read


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
