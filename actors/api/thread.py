"""The thread that serves the API; only it imports the libraries of the web application."""

import errno
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from callboard.actors.api.connections import Connections
from callboard.config.settings import ApiSettings
from callboard.config.time_limits import API_CLIENTS_STOP_S
from callboard.supervision import RoomyThread
from callboard.web.access.refusals import Refusals
from callboard.web.backend import Backend

BACKLOG = 128


class PortTaken(Exception):
    """The server cannot listen on the address; the text says why."""


class ApiThread:
    """A server with its own socket, from `start` to `stop`.

    At its end, the thread calls `ended(problem)`: None if it was asked to stop, else PortTaken or
    the exception that ended it. `time_outs`: those of clients, by the names of `TimedProtocol`.
    """

    def __init__(
        self,
        bind: str,
        port: int,
        make_app: Callable[[], Any],
        listening: Callable[[int], None],
        ended: Callable[[BaseException | None], None],
        connections: Connections,
        **time_outs: float,
    ) -> None:
        self._connections, self._time_outs = connections, time_outs
        self.bind = bind
        self._wanted = port
        self.port: int | None = None
        self._make_app = make_app
        self._listening = listening
        self._ended = ended
        self._server: Any = None
        self._stopped = threading.Event()
        self._thread = RoomyThread(target=self._run, name="api", daemon=True)

    def start(self) -> None:
        """Start; `listening` is called with the port."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the server to stop; requests in progress may end first."""
        self._stopped.set()
        if self._server is not None:
            self._server.should_exit = True

    def _run(self) -> None:
        problem: BaseException | None = None
        try:
            self._serve()
            if not self._stopped.is_set():
                problem = RuntimeError("the server ended by itself")
        except BaseException as error:  # noqa: BLE001 - the actor decides
            problem = error
        self._ended(problem)

    def _serve(self) -> None:
        import uvicorn

        from callboard.actors.api.client_timeouts import TimedProtocol

        app = self._make_app()

        class Server(uvicorn.Server):
            """Ends the dashboard's streams first, which do not end by themselves."""

            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                app.state.sampler.close()
                await super().shutdown(sockets)

        with listening_socket(self.bind, self._wanted) as listener:
            config = uvicorn.Config(
                app,
                http=partial(TimedProtocol, connections=self._connections, **self._time_outs),  # type: ignore[arg-type]
                log_config=None,
                access_log=False,
                lifespan="on",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=int(API_CLIENTS_STOP_S),
            )
            self._server = Server(config)
            if self._stopped.is_set():
                return
            self.port = listener.getsockname()[1]
            self._listening(self.port)
            self._server.run(sockets=[listener])


def listening_socket(bind: str, port: int) -> socket.socket:
    """A listening socket. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    # Without IPPROTO_TCP, asyncio does not disable Nagle's algorithm: 40 ms for each response.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((bind, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        why = "another program has it" if taken else error.strerror
        raise PortTaken(f"port {port} of {bind}: {why}") from error
    return listener


def write_place(path: Path, bind: str, port: int) -> None:
    """Write the API's address to a file. Raises OSError."""
    host = f"[{bind}]" if ":" in bind else bind
    place = {"url": f"http://{host}:{port}", "bind": bind, "port": port, "pid": os.getpid()}
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=".api-", delete=False
    ) as draft:
        json.dump(place, draft)
    Path(draft.name).replace(path)


def app_maker(backend: Backend, api: ApiSettings, refusals: Refusals) -> Callable[[], Any]:
    """A function that creates the application, to be called in the server's thread."""

    def make() -> Any:
        from callboard.web.app import ApiOptions, create_app

        options = ApiOptions(
            api.max_body,
            api.cors_origins,
            api.metrics_token,
            api.trusted_proxies,
            frame_ancestors=api.frame_ancestors,
        )
        return create_app(backend, options, refusals=refusals)

    return make
