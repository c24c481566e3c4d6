"""A reverse proxy before a CouchDB: gives databases a prefix, and enforces CouchDB's rights.

With a prefix, a test run has databases of its own on a server that others use: it sees and deletes
no others. pouchdb-server knows users, members and administrators, but lets everybody list
databases, ends when it refuses to create one, and answers 401 where CouchDB answers 403.
"""

import base64
import contextlib
import http.client
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from services import free_port
from support.patience import patient

HOP = {"connection", "content-length", "keep-alive", "transfer-encoding"}
"""Headers of one connection (RFC 9110, 7.6.1), and what is counted anew."""
NO_SERVER_ADMIN = 401, b'{"error":"unauthorized","reason":"You are not a server admin."}\n'
"""CouchDB 3's response to a user whom it knows, too (chttpd_auth_request, require_admin)."""
NO_MEMBER = 403, b'{"error":"forbidden","reason":"You are not allowed to access this db."}\n'
NO_DATABASE_ADMIN = 403, b'{"error":"forbidden","reason":"You are not a db or server admin."}\n'
WRONG_PASSWORD = b"Name or password is incorrect"


class CouchFront:
    """Forwards requests to `target`, with its credentials if a request has none.

    `admins`: the users who are the server's administrators; other users' requests are then answered
    as CouchDB does where pouchdb-server would not. None: the server does so itself.
    """

    def __init__(self, target: str, prefix: str = "", admins: frozenset[str] | None = None) -> None:
        self.target = urlsplit(target)
        self.prefix = prefix
        self.admins = admins
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.asked: list[tuple[str, str, str, int]] = []
        """User, method, path without a prefix, status."""
        self._server: _Server | None = None

    def start(self) -> None:
        """Listen, always on the same port."""
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and end those that exist; no error if it does not run."""
        server, self._server = self._server, None
        if server is not None:
            server.end()

    def url_of(self, user: str, password: str) -> str:
        """The URL with this user's credentials."""
        return f"http://{user}:{password}@127.0.0.1:{self.port}"

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the server."""
        secure = self.target.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(str(self.target.hostname), self.target.port, timeout=patient(60))

    def authorization(self) -> str | None:
        """The header for requests without one."""
        if self.target.username is None:
            return None
        user, password = unquote(self.target.username), unquote(self.target.password or "")
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def outside(self, path: str) -> str:
        """The server's path for this one, with the prefix."""
        path, _, query = path.partition("?")
        name, *rest = path.removeprefix("/").split("/")
        if name == "_all_dbs":
            asked = dict(parse_qsl(query))
            for key, default in (("startkey", ""), ("endkey", "\uffff")):
                asked[key] = json.dumps(self.prefix + json.loads(asked.get(key, f'"{default}"')))
            query = urlencode(asked)
        elif name and not name.startswith("_"):
            name = quote(self.prefix + unquote(name), safe="")
        return f"{self.target.path.rstrip('/')}/{'/'.join([name, *rest])}" + (query and f"?{query}")

    def inside(self, path: str, body: bytes) -> bytes:
        """The response without other databases, and without the prefix."""
        if path.partition("?")[0] != "/_all_dbs" or not body.startswith(b"["):
            return body
        names = [name for name in json.loads(body) if name.startswith(self.prefix)]
        return json.dumps([name.removeprefix(self.prefix) for name in names]).encode()

    def refusal(self, user: str, method: str, path: str) -> tuple[int, bytes] | None:
        """CouchDB's answer to what only a server's administrator may do."""
        if self.admins is None or user in self.admins:
            return None
        name, *rest = path.partition("?")[0].strip("/").split("/")
        changes_databases = method in ("PUT", "DELETE") and not rest and name
        if changes_databases or name in ("_all_dbs", "_active_tasks") or rest[:1] == ["_compact"]:
            return NO_SERVER_ADMIN
        return None

    def corrected(
        self, user: str, method: str, path: str, answer: tuple[int, bytes]
    ) -> tuple[int, bytes]:
        """CouchDB's status where the server knows the user and denies the request."""
        status, body = answer
        if self.admins is None or not user or WRONG_PASSWORD in body:
            return answer
        if path.endswith("/_bulk_docs") and status == 201:
            # CouchDB looks at the database first, and at each document then.
            rows = [row for row in json.loads(body) if not row["id"].startswith("_design/")]
            denied = rows and all(row.get("error") == "unauthorized" for row in rows)
            return NO_MEMBER if denied else answer
        if status != 401:
            return answer
        writes_design = method in ("PUT", "DELETE") and "/_design/" in unquote(path)
        return NO_DATABASE_ADMIN if writes_design else NO_MEMBER


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def __init__(self, front: CouchFront) -> None:
        self.front = front
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", front.port), _Handler)

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address) -> None:
        """A client that has gone needs no answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)
        self.there = self.server.front.connect()

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        self.there.close()
        super().finish()

    def _forward(self) -> None:
        front = self.server.front
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        not_ours = {*HOP, "host", "accept-encoding"}
        headers = {k: v for k, v in self.headers.items() if k.lower() not in not_ours}
        if "Authorization" not in headers and (ours := front.authorization()):
            headers["Authorization"] = ours
        user = _user(headers.get("Authorization"))
        answer, described = front.refusal(user, self.command, self.path), []
        if answer is None:
            answer, described = self._ask(front.outside(self.path), body, headers)
            answer = front.corrected(user, self.command, self.path, answer)
        status, content = answer
        front.asked.append((user, self.command, self.path, status))
        content = front.inside(self.path, content)
        self.send_response_only(status)
        for name, value in described or [("Content-Type", "application/json")]:
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _ask(self, path, body, headers):
        """Once more if the server has closed the connection meanwhile."""
        try:
            self.there.request(self.command, path, body or None, headers)
            response = self.there.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            self.there.close()
            self.there.request(self.command, path, body or None, headers)
            response = self.there.getresponse()
        return (response.status, response.read()), response.getheaders()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_COPY = _forward  # noqa: N815

    def log_message(self, *_arguments) -> None:
        """Is silent."""


def _user(authorization: str | None) -> str:
    kind, _, text = (authorization or "").partition(" ")
    return base64.b64decode(text).decode().partition(":")[0] if kind == "Basic" else ""
