"""Applied to every request: its id, its body with a size and a time limit, its slot, its method."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callboard.web.access.admission import Admission
from callboard.web.access.state import RequestState, request_id, state_of
from callboard.web.backend import NodeFacts
from callboard.web.envelopes.envelope import failure
from callboard.web.errors import ApiError

TUNNELLED = ("GET", "PUT", "POST", "PATCH", "DELETE")
"""Methods that a POST may carry as `verb` of its envelope, for clients limited to POST."""

BODY_S = 30
"""The time limit for receiving a request's body, in seconds, for all clients."""

PARSED_AT_ONCE = 65_536
"""A longer body, in bytes, is parsed in a thread, since the others would wait for it."""

Endpoint = Callable[[Request], Awaitable[Response]]
Failed = Callable[[Request, Exception], Awaitable[Response]]

ADMITTED = "/v2/"
"""The prefix of the paths that need a slot. The others use neither the store nor a thread."""


_LENGTHS = {b"transfer-encoding", b"content-length"}


class _TooLong(Exception):
    """A body exceeds the size limit."""


class _Ambiguous(Exception):
    """A body has two lengths: servers and proxies may disagree on its end."""


class EnvelopeMiddleware:
    """Reads the body first, so that later code need not wait for it."""

    def __init__(
        self, app: ASGIApp, node: NodeFacts, max_body: int, body_s: float = BODY_S
    ) -> None:
        self._app = app
        self._node = node
        self._max_body, self._body_s = max_body, body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id = request_id(Headers(scope=scope).get("x-request-id"))
        state = RequestState(self._node, id)
        scope["callboard"] = state
        scope = dict(scope)  # The server itself goes by the method as sent.

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (b"x-request-id", id.encode())]
                if not any(name == b"cache-control" for name, _value in headers):
                    # Responses hold what only the bearer of a token may see.
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = headers
            await send(message)

        try:
            async with asyncio.timeout(self._body_s):
                body = await self._read(scope, receive)
        except (_Ambiguous, _TooLong, TimeoutError) as problem:
            error = self._refusal(problem)
            await failure(Request(scope), error)(scope, receive, send_with_id)
            return
        state.body = body
        _drop_trailing_slash(scope)
        if scope["method"] == "HEAD":
            await self._head(scope, receive, send_with_id)
        else:
            await self._app(scope, receive, send_with_id)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The response to GET without its body (RFC 9110, 9.3.2), also if that has no end."""
        with anyio.CancelScope() as whole:

            async def send_head(message: Message) -> None:
                if message["type"] != "http.response.body":
                    await send(message)
                    return
                await send({**message, "body": b"", "more_body": False})
                if message.get("more_body", False):
                    whole.cancel()

            await self._app({**scope, "method": "GET"}, receive, send_head)

    def _refusal(self, problem: Exception) -> ApiError:
        close = {"Connection": "close"}
        if isinstance(problem, _Ambiguous):
            both = {"message": "send Content-Length or Transfer-Encoding, not both"}
            return ApiError(400, "bad_request", both, close)
        if isinstance(problem, TimeoutError):
            late = {"message": f"the body did not come within {self._body_s} s"}
            return ApiError(408, "request_timeout", late, close)
        limit = {"message": f"the body is longer than {self._max_body} bytes"}
        return ApiError(413, "request_too_large", limit, close)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Raises _TooLong; _Ambiguous (RFC 9112, 6.1: the connection ends)."""
        if {name for name, _value in scope["headers"]} >= _LENGTHS:
            raise _Ambiguous
        chunks = bytearray()
        while True:
            message = await receive()
            chunks += message.get("body", b"")
            if len(chunks) > self._max_body:
                raise _TooLong
            if not message.get("more_body", False):
                return bytes(chunks)


def _drop_trailing_slash(scope: Scope) -> None:
    """Route `/path/` like `/path`. A redirect would lose the body of some clients' requests."""
    if scope["path"].endswith("/") and scope["path"] != "/":
        scope["path"] = scope["path"][:-1]


class AdmissionMiddleware:
    """Lets each request that needs a thread wait for a slot. After EnvelopeMiddleware."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app, self._admission = app, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or not scope["path"].startswith(ADMITTED):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            slot = await self._admission.slot_for(request)
        except ApiError as error:
            self._admission.refused(request, error)
            await failure(request, error)(scope, receive, send)
            return
        state_of(request).give_back_slot = slot.give_back

        async def send_and_give_back(message: Message) -> None:
            if message["type"] == "http.response.start":
                slot.give_back()
            await send(message)

        try:
            await self._app(scope, receive, send_and_give_back)
        finally:
            slot.give_back()


class TunnelMiddleware:
    """Takes the method of a POST from its envelope. It parses the body, so it needs a slot."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            verb = await self._verb(scope["callboard"])
            if isinstance(verb, str) and verb.upper() in TUNNELLED:
                scope["method"] = verb.upper()
        await self._app(scope, receive, send)

    async def _verb(self, state: RequestState) -> Any:
        if len(state.body) <= PARSED_AT_ONCE:
            return state.peek("verb")
        return await anyio.to_thread.run_sync(state.peek, "verb")


class DirectMiddleware:
    """Calls the endpoint for POST to one path with the request alone. After all others.

    The framework's search for the route and for the arguments costs as much as a whole post.
    `failed`: the response to an exception, which it raises again if it is a defect.
    """

    def __init__(self, app: ASGIApp, path: str, endpoint: Endpoint, failed: Failed) -> None:
        self._app = app
        self._path, self._endpoint, self._failed = path, endpoint, failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", self._path):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._endpoint(request)
        except Exception as error:  # noqa: BLE001 - a defect is raised again
            response = await self._failed(request, error)
        await response(scope, receive, send)
