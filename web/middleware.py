"""What every request passes: its id, its body read to a bound, its tunnelled method."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callboard.web.backend import NodeFacts
from callboard.web.envelope import failure
from callboard.web.errors import ApiError
from callboard.web.state import RequestState, request_id

TUNNELLED = ("GET", "PUT", "POST", "PATCH", "DELETE")
"""Methods that a POST may carry as `verb` of its envelope, for clients that know no others."""


class EnvelopeMiddleware:
    """Reads the body before anything else, so that whatever follows need not wait for it."""

    def __init__(self, app: ASGIApp, node: NodeFacts, max_body: int) -> None:
        self._app = app
        self._node = node
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id = request_id(Headers(scope=scope).get("x-request-id"))
        state = RequestState(self._node, id)
        scope["callboard"] = state

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = id
            await send(message)

        body = await self._read(receive)
        if body is None:
            limit = {"message": f"the body is longer than {self._max_body} bytes"}
            error = ApiError(413, "request_too_large", limit, {"Connection": "close"})
            await failure(Request(scope), error)(scope, receive, send_with_id)
            return
        state.body = body
        verb = state.peek("verb") if scope["method"] == "POST" else None
        if isinstance(verb, str) and verb.upper() in TUNNELLED:
            scope["method"] = verb.upper()
        await self._app(scope, _Replay(body, receive), send_with_id)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body; None if there is too much of it."""
        chunks = bytearray()
        while True:
            message = await receive()
            chunks += message.get("body", b"")
            if len(chunks) > self._max_body:
                return None
            if not message.get("more_body", False):
                return bytes(chunks)


class _Replay:
    """Gives the body that was read already, then what the server has to say."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
