"""Applied to every request: its id, its body with a size limit, its method and path as routed."""

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callboard.web.access.state import RequestState, request_id
from callboard.web.backend import NodeFacts
from callboard.web.envelopes.envelope import failure
from callboard.web.errors import ApiError

TUNNELLED = ("GET", "PUT", "POST", "PATCH", "DELETE")
"""Methods that a POST may carry as `verb` of its envelope, for clients limited to POST."""

BODY_S = 30
"""The time limit for receiving a request's body, in seconds, for all clients."""


class _TooLong(Exception):
    """A body exceeds the size limit."""


class _Ambiguous(Exception):
    """A body has two lengths: servers and proxies may disagree on its end."""


class EnvelopeMiddleware:
    """Reads the body first, so that later code need not wait for it."""

    def __init__(self, app: ASGIApp, node: NodeFacts, max_body: int) -> None:
        self._app = app
        self._node = node
        self._max_body = max_body

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
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = id
                # Responses hold what only the bearer of a token may see.
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            with anyio.fail_after(BODY_S):
                body = await self._read(scope, receive)
        except (_Ambiguous, _TooLong, TimeoutError) as problem:
            error = self._refusal(problem)
            await failure(Request(scope), error)(scope, receive, send_with_id)
            return
        state.body = body
        verb = state.peek("verb") if scope["method"] == "POST" else None
        if isinstance(verb, str) and verb.upper() in TUNNELLED:
            scope["method"] = verb.upper()
        _drop_trailing_slash(scope)
        if scope["method"] == "HEAD":
            await self._head(scope, _Replay(body, receive), send_with_id)
        else:
            await self._app(scope, _Replay(body, receive), send_with_id)

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
            late = {"message": f"the body did not come within {BODY_S} s"}
            return ApiError(408, "request_timeout", late, close)
        limit = {"message": f"the body is longer than {self._max_body} bytes"}
        return ApiError(413, "request_too_large", limit, close)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Raises _TooLong; _Ambiguous (RFC 9112, 6.1: the connection ends)."""
        headers = Headers(scope=scope)
        if "transfer-encoding" in headers and "content-length" in headers:
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
        scope["raw_path"] = scope.get("raw_path", b"").removesuffix(b"/")


class _Replay:
    """Returns the body that was already read, then the server's messages."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
