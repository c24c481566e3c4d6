"""What is CouchDB's own: errors on the way, credentials, design documents, pages by document id."""

import base64
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from callboard.adapters.store.couchdb import CouchdbStore
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.protocol import (
    ChangedDocument,
    Changes,
    Conflict,
    DatabaseMissing,
    Row,
    Saved,
    StoreError,
    StoreForbidden,
    StoreUnavailable,
    View,
)
from callboard.adapters.store.stores import connect
from callboard.adapters.store.urls import mask_url
from services import free_port
from support.patience import patient
from support.stores import calls_on

VIEW = View("d", "v", "function(doc) { emit(doc.n, null); }", lambda doc: [(doc.get("n"), None)])
OTHER = View("d", "w", "function(doc) { emit(1, null); }", lambda doc: [(1, None)], reduce="_count")

CALLS = [
    *calls_on("db", VIEW),
    lambda store: store.list_databases("db", "", 1),
]


class Answering(ThreadingHTTPServer):
    """Answers every request as it is told, and remembers them."""

    daemon_threads = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, _request, _address):
        """A client that hangs up is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one piece

    def handle_any(self):
        self.server.requests.append((self.command, self.path, self.headers))
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.answer(self)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Transfer_Encoding" in headers:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        elif "Connection" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()
        self.close_connection = "Connection" in headers

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def answering():
    servers = []

    def start(answer):
        server = Answering(answer)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("call", CALLS)
class TestUnavailable:
    def test_nobody_listens(self, call):
        store = CouchdbStore(f"http://ann:secret@127.0.0.1:{free_port()}")
        with pytest.raises(StoreUnavailable, match=r"ann:\*\*\*@127.*db.*[Rr]efused") as caught:
            call(store)
        assert "secret" not in str(caught.value)

    def test_no_answer_in_time(self, call, answering):
        over = threading.Event()
        server = answering(lambda request: over.wait(20))
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="timed out"):
            call(CouchdbStore(server.url, timeout_s=0.2))
        over.set()
        assert time.monotonic() - began < patient(2)

    def test_the_connection_breaks(self, call, answering):
        def hang_up(request):
            request.close_connection = True

        with pytest.raises(StoreUnavailable, match="db"):
            call(CouchdbStore(answering(hang_up).url))

    @pytest.mark.parametrize(
        ("status", "body", "headers"),
        [
            (500, b'{"error":"timeout","reason":"too busy"}', {"Content_Type": "application/json"}),
            (429, b"{}", {"Content_Type": "application/json"}),
            (503, b"<html>no server</html>", {"Content_Type": "text/html", "Connection": "close"}),
            (502, b"bad gateway", {}),
            (
                500,
                b'{"error":"e","reason":"r"}',
                {"Content_Type": "application/json", "Transfer_Encoding": "chunked"},
            ),
        ],
        ids=["CouchDB's own", "too many", "HAProxy's", "no content type", "in chunks"],
    )
    def test_errors_of_servers_and_proxies(self, call, answering, status, body, headers):
        server = answering(lambda request: request.reply(status, body, **headers))
        with pytest.raises(StoreUnavailable, match="db"):
            call(CouchdbStore(server.url))


def test_an_answer_that_is_no_couchdbs(answering):
    html = {"Content_Type": "text/html"}
    store = CouchdbStore(answering(lambda request: request.reply(200, b"<html/>", **html)).url)
    for call in (CALLS[4], CALLS[5], CALLS[6], CALLS[8]):
        with pytest.raises(StoreUnavailable, match="not a response of CouchDB"):
            call(store)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("call", CALLS)
def test_refused_credentials(answering, call, status):
    body = b'{"error":"unauthorized","reason":"Name or password is incorrect."}'
    kind = {"Content_Type": "application/json"}
    server = answering(lambda request: request.reply(status, body, **kind))
    with pytest.raises(StoreError, match="credentials") as caught:
        call(CouchdbStore(server.url))
    assert not isinstance(caught.value, StoreUnavailable)


@pytest.mark.parametrize(
    ("userinfo", "expected"),
    [
        ("ann:secret", "ann:secret"),
        ("ann:p%40s%3As%2F", "ann:p@s:s/"),
        ("ann:p@ss:word", "ann:p@ss:word"),
        ("ann", "ann:"),
    ],
)
def test_credentials_arrive_as_they_are_meant(answering, userinfo, expected):
    server = answering(lambda request: request.reply(200))
    CouchdbStore(server.url.replace("//", f"//{userinfo}@")).database_exists("db")
    (_method, _path, headers) = server.requests[0]
    assert headers["Authorization"] == f"Basic {base64.b64encode(expected.encode()).decode()}"


def test_names_are_quoted_once(answering):
    kind = {"Content_Type": "application/json"}
    server = answering(lambda request: request.reply(200, b'{"rows":[],"rev":"1-a"}', **kind))
    store = CouchdbStore(server.url)
    store.ensure_database("account/ab/cd-202611")
    store.get("account/ab/cd-202611", "a/b c")
    list(store.view("account/ab/cd-202611", "d/v"))
    store.get("account/ab/cd-202611", "_design/d")
    paths = [urlsplit(path).path for _method, path, _headers in server.requests]
    base = "/account%2Fab%2Fcd-202611"
    assert paths == [base, f"{base}/a%2Fb%20c", f"{base}/_design/d/_view/v", f"{base}/_design/d"]


DOCUMENT = {"_id": "x", "_rev": "1-a", "n": 1}
DELETED = {"_id": "x", "_rev": "1-a", "_deleted": True}
CREATED = {"ok": True, "id": "x", "rev": "1-a"}
NOT_FOUND = {"error": "not_found", "reason": "missing"}
NO_DATABASE = {"error": "not_found", "reason": "Database does not exist."}
try:
    json.dumps(float("nan"), allow_nan=False)
except ValueError as error:
    NO_JSON = str(error)  # Python 3.12 and later name the value, too.
IN_CONFLICT = {"error": "conflict", "reason": "Document update conflict."}
PAGE = {"skip": "0", "limit": "1001"}
KEYS = {"startkey": '"a"', "endkey": '"b"'}
ALL_DOCS = {
    "rows": [
        {"id": "_design/d", "key": "_design/d", "value": {"rev": "1-a"}, "doc": {"views": {}}},
        {"id": "x", "key": "x", "value": {"rev": "1-a"}, "doc": DOCUMENT},
        {"id": "y", "key": "y", "value": {"rev": "2-b", "deleted": True}, "doc": None},
        {"key": "z", "error": "not_found"},
    ]
}
CHANGED = {
    "results": [
        {"seq": "3-g", "id": "_design/d", "changes": [{"rev": "1-a"}]},
        {"seq": "4-g", "id": "x", "changes": [{"rev": "2-b"}]},
        {"seq": "5-g", "id": "y", "changes": [{"rev": "3-c"}], "deleted": True},
    ],
    "last_seq": "5-g",
    "pending": 0,
}
SEEN = (ChangedDocument("x", "2-b", deleted=False), ChangedDocument("y", "3-c", deleted=True))


@pytest.mark.parametrize(
    ("call", "sent", "status", "answer", "expected"),
    [
        (lambda s: s.ensure_database("db"), ("PUT", "/db", {}), 201, {"ok": True}, True),
        (
            *(lambda s: s.ensure_database("db"), ("PUT", "/db", {}), 412),
            *({"error": "file_exists", "reason": "The database already exists."}, False),
        ),
        (lambda s: s.database_exists("db"), ("HEAD", "/db", {}), 200, {}, True),
        (lambda s: s.database_exists("db"), ("HEAD", "/db", {}), 404, NO_DATABASE, False),
        (lambda s: s.get("db", "x"), ("GET", "/db/x", {}), 200, DOCUMENT, DOCUMENT),
        (lambda s: s.get("db", "x"), ("GET", "/db/x", {}), 404, NOT_FOUND, None),
        (
            *(lambda s: s.get_many("db", ["x", "y", "z"]),),
            *(("POST", "/db/_all_docs", {"include_docs": "true"}, {"keys": ["x", "y", "z"]}), 200),
            *({"rows": ALL_DOCS["rows"][1:]}, {"x": DOCUMENT}),
        ),
        (
            *(lambda s: s.get_many("db", ["x"]),),
            *(("POST", "/db/_all_docs", {"include_docs": "true"}, {"keys": ["x"]}), 404),
            *(NO_DATABASE, {}),
        ),
        (
            *(lambda s: s.save("db", {"_id": "x", "n": 1}),),
            *(("PUT", "/db/x", {}, {"_id": "x", "n": 1}), 201, CREATED, "1-a"),
        ),
        (
            lambda s: s.save_many("db", [{"_id": "x"}, {"_id": "n", "n": float("nan")}, DOCUMENT]),
            ("POST", "/db/_bulk_docs", {}, {"docs": [{"_id": "x"}, DOCUMENT]}),
            201,
            [CREATED, {"id": "x", **IN_CONFLICT}],
            [
                Saved("x", rev="1-a"),
                Saved("n", error=f"document 'n' cannot be stored: {NO_JSON}"),
                Saved("x", error="conflict"),
            ],
        ),
        (
            *(lambda s: s.save_many("db", [{"_id": "x"}]),),
            *(("POST", "/db/_bulk_docs", {}, {"docs": [{"_id": "x"}]}), 201),
            *([{"id": "x", "error": "forbidden", "reason": "no"}], [Saved("x", error="no")]),
        ),
        (lambda s: s.delete("db", "x", "1-a"), ("PUT", "/db/x", {}, DELETED), 201, CREATED, None),
        (
            *(lambda s: list(s.view("db", "d/v", start="a", end="b")),),
            *(("GET", "/db/_design/d/_view/v", {**PAGE, **KEYS}), 200),
            *({"rows": [{"id": "x", "key": "a", "value": 2}]}, [Row("x", "a", 2)]),
        ),
        (
            *(lambda s: list(s.view("db", "d/v", group=True, descending=True)),),
            *(("GET", "/db/_design/d/_view/v", PAGE | {"group": "true", "descending": "true"}),),
            *(200, {"rows": [{"key": "a", "value": 2}]}, [Row(None, "a", 2)]),
        ),
        (
            *(lambda s: list(s.view("db", "d/v", key=1, reduce=False, include_documents=True)),),
            (
                *("GET", "/db/_design/d/_view/v"),
                PAGE
                | {"startkey": "1", "endkey": "1"}
                | {"reduce": "false", "include_docs": "true"},
            ),
            *(200, {"rows": [{"id": "x", "key": 1, "value": None, "doc": DOCUMENT}]}),
            [Row("x", 1, None, DOCUMENT)],
        ),
        (
            *(lambda s: list(s.view("db", "d/v", limit=1)),),
            *(("GET", "/db/_design/d/_view/v", {"skip": "0", "limit": "2"}), 200),
            {"rows": [{"id": "x", "key": 1, "value": None}, {"id": "y", "key": 2, "value": None}]},
            [Row("x", 1, None)],
        ),
        (
            *(lambda s: list(s.documents("db", start="a", end="b")),),
            *(("GET", "/db/_all_docs", {**PAGE, **KEYS, "include_docs": "true"}), 200),
            *(ALL_DOCS, [DOCUMENT]),
        ),
        (
            *(lambda s: s.changes("db", None), ("GET", "/db", {}), 200),
            *({"db_name": "db", "update_seq": [7]}, Changes((), "[7]", complete=True)),
        ),
        (
            *(lambda s: s.changes("db", "9"), ("GET", "/db", {}), 200),
            *({"db_name": "db", "update_seq": 8}, Changes((), "8", complete=False)),
        ),
        (
            *(lambda s: s.changes("db", "2-g", 4),),
            *(("GET", "/db/_changes", {"since": "2-g", "limit": "4"}), 200),
            *(CHANGED, Changes(SEEN, "5-g", complete=True)),
        ),
        (
            *(lambda s: s.changes("db", "2-g", 3),),
            *(("GET", "/db/_changes", {"since": "2-g", "limit": "3"}), 200),
            *(CHANGED, Changes(SEEN, "5-g", complete=False)),
        ),
    ],
)
def test_what_is_sent_and_what_the_answer_means(answering, call, sent, status, answer, expected):
    """Requests and answers as in CouchDB's API reference."""
    requests = []

    def reply(request):
        url = urlsplit(request.path)
        query = {name: value for name, (value,) in parse_qs(url.query).items()}
        body = [json.loads(request.body)] if request.body else []
        requests.append((request.command, url.path, query, *body))
        request.reply(status, json.dumps(answer).encode(), Content_Type="application/json")

    assert call(CouchdbStore(answering(reply).url)) == expected
    assert [each for each in requests if each[1] != "/"] == [sent]


JSON = {"Content_Type": "application/json"}


@pytest.mark.parametrize(
    ("put", "head", "created"), [(201, 200, True), (412, 200, False), (403, 200, False)]
)
def test_a_database_that_exists_is_not_created(answering, put, head, created):
    def answer(request):
        status = put if request.command == "PUT" else head
        request.reply(status, b'{"error":"e","reason":"r"}', **JSON)

    assert CouchdbStore(answering(answer).url).ensure_database("db") is created


def test_a_database_that_one_may_not_create_is_an_error(answering):
    def answer(request):
        request.reply(403 if request.command == "PUT" else 404, b'{"error":"e"}', **JSON)

    with pytest.raises(StoreForbidden):
        CouchdbStore(answering(answer).url).ensure_database("db")


class Designs:
    """Keeps documents as CouchDB does; the answers to the first PUTs may be `refusals` instead."""

    def __init__(self, refusals=()):
        self.documents, self.saved, self.refusals = {}, [], list(refusals)

    def __call__(self, request):
        path = urlsplit(request.path).path
        if request.command == "GET":
            found = self.documents.get(path)
            answer = (404, NOT_FOUND) if found is None else (200, found)
        elif self.refusals:
            answer = self.refusals.pop(0), {"error": "e", "reason": "r"}
            self.saved.append(answer[0])
        else:
            self.documents[path] = json.loads(request.body)
            self.saved.append(path)
            answer = 201, {"ok": True, "id": "x", "rev": "1-a"}
        request.reply(answer[0], json.dumps(answer[1]).encode(), **JSON)


THIRD = View("e", "v", "function(doc) { emit(2, null); }", lambda _doc: [(2, None)])


def test_design_documents_are_written_where_they_differ_and_keep_what_they_have(answering):
    designs = Designs()
    kept = {"_id": "_design/d", "_rev": "1-a", "filters": {"f": "1"}, "views": {"theirs": {}}}
    designs.documents["/db/_design/d"] = kept
    store = CouchdbStore(answering(designs).url)
    for _time in range(2):
        store.ensure_views("db", [VIEW, THIRD, OTHER])
    assert designs.saved == ["/db/_design/d", "/db/_design/e"]
    assert designs.documents == {
        "/db/_design/d": {
            **kept,
            "language": "javascript",
            "views": {
                "theirs": {},
                "v": {"map": VIEW.map_javascript},
                "w": {"map": OTHER.map_javascript, "reduce": "_count"},
            },
        },
        "/db/_design/e": {
            "_id": "_design/e",
            "language": "javascript",
            "views": {"v": {"map": THIRD.map_javascript}},
        },
    }


def test_a_design_document_that_others_write_is_written_ten_times_at_most(answering):
    designs = Designs([409] * 9)
    CouchdbStore(answering(designs).url).ensure_views("db", [VIEW])
    assert designs.saved == [409] * 9 + ["/db/_design/d"]
    designs = Designs([409] * 10)
    with pytest.raises(Conflict):
        CouchdbStore(answering(designs).url).ensure_views("db", [VIEW])
    assert len(designs.saved) == 10


def test_views_that_one_may_not_write_are_named_if_they_are_missing(answering):
    designs = Designs([403] * 2)
    store = CouchdbStore(answering(designs).url)
    with pytest.raises(StoreForbidden, match=r"\(missing: v, w\)$"):
        store.ensure_views("db", [VIEW, OTHER])
    designs.documents["/db/_design/d"] = {"_id": "_design/d", "views": {"v": {}, "w": {}}}
    store.ensure_views("db", [VIEW, OTHER])
    assert designs.saved == [403, 403]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda s: s.save("db", {"_id": "x", "n": float("nan")}), StoreError),
        (lambda s: s.save("db", {"_id": "x", "n": "\ud800"}), StoreError),
        (lambda s: s.save("db", {"_id": "x", "n": object()}), StoreError),
        (lambda s: list(s.view("db", "d/v", key=object())), TypeError),
        (lambda s: list(s.view("db", "d/v", limit=0)), None),
    ],
)
def test_what_is_no_json_is_not_sent_and_what_asks_for_nothing_neither(answering, call, error):
    server = answering(lambda request: request.reply(200, b'{"rows":[]}', **JSON))
    store = CouchdbStore(server.url)
    if error is None:
        assert call(store) == []
    else:
        with pytest.raises(error) as caught:
            call(store)
        assert caught.type is error  # and not StoreUnavailable, as if another try could help
    assert server.requests == []


@pytest.mark.parametrize(
    ("since", "latest", "goes_on"),
    [("8", 8, True), ("7", 8, True), ("9", 8, False), ("7", [7, "g"], True)],
)
def test_changes_go_on_at_a_position_up_to_the_latest(answering, since, latest, goes_on):
    def answer(request):
        known = {"db_name": "db", "update_seq": latest}
        found = {"results": [], "last_seq": "end"}
        answer = found if urlsplit(request.path).path == "/db/_changes" else known
        request.reply(200, json.dumps(answer).encode(), **JSON)

    found = CouchdbStore(answering(answer).url).changes("db", since)
    assert (found.upto == "end") is goes_on
    assert found.complete is goes_on


def test_rows_of_several_keys_are_paged_in_the_order_of_the_keys(answering):
    def answer(request):
        query = {n: json.loads(v[0]) for n, v in parse_qs(urlsplit(request.path).query).items()}
        assert query.keys() == {"skip", "limit"}
        keys = json.loads(request.body)["keys"][query["skip"] :][: query["limit"]]
        rows = [{"key": key, "id": f"d{key}", "value": None} for key in keys]
        request.reply(200, json.dumps({"rows": rows}).encode(), **JSON)

    rows = CouchdbStore(answering(answer).url).view("db", "d/v", keys=[3, 1, 2, 1], page_size=1)
    assert [row.id for row in rows] == ["d3", "d1", "d2", "d1"]


@pytest.mark.parametrize("id", ["", ".", "..", "_all_docs", "_design/..", "_design/_info"])
def test_what_is_no_document_is_not_asked_for(answering, id):
    server = answering(lambda request: request.reply(200, b"{}", Content_Type="application/json"))
    assert CouchdbStore(server.url).get("db", id) is None
    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (404, NOT_FOUND, StoreError),
        (404, NO_DATABASE, DatabaseMissing),
        (404, {"error": "not_found", "reason": "no_db_file"}, DatabaseMissing),
        (409, IN_CONFLICT, Conflict),
        (400, {"error": "bad_request", "reason": "invalid UTF-8 JSON"}, StoreError),
        (429, {"error": "too_many", "reason": "slow down"}, StoreUnavailable),
        (499, {"error": "odd", "reason": "odd"}, StoreError),
        (500, {"error": "unknown", "reason": "badmatch"}, StoreUnavailable),
    ],
)
def test_an_error_says_whether_to_try_again(answering, status, answer, error):
    body = json.dumps(answer).encode()
    kind = {"Content_Type": "application/json"}
    store = CouchdbStore(answering(lambda request: request.reply(status, body, **kind)).url)
    with pytest.raises(StoreError) as caught:
        store.save("db", {"_id": "x"})
    assert type(caught.value) is error


def test_connections_are_kept(answering):
    ports = set()

    def answer(request):
        ports.add(request.client_address)
        request.reply(200, b"{}", Content_Type="application/json")

    store = CouchdbStore(answering(answer).url)
    for _ in range(5):
        store.get("db", "x")
        store.database_exists("db")
    assert len(ports) == 1


def test_a_connection_on_which_nonsense_came_is_not_used_again(answering):
    ports = []
    answers = [b"<html/>", b"{}"]

    def answer(request):
        ports.append(request.client_address)
        request.reply(200, answers.pop(0), Content_Type="application/json")

    store = CouchdbStore(answering(answer).url)
    with pytest.raises(StoreUnavailable, match="not a response of CouchDB"):
        store.get("db", "x")
    store.get("db", "x")
    assert len(set(ports)) == 2


class CouchdbView:
    """Answers as CouchDB does for a view: in (key, id) order, from startkey and startkey_docid."""

    def __init__(self, rows):
        self.rows = sorted(rows)
        self.about = {"couchdb": "Welcome", "version": "3.3.3"}

    def __call__(self, request):
        path, query = urlsplit(request.path)[2:4]
        answer = self.about if path == "/" else {"rows": self.page(parse_qs(query))}
        request.reply(200, json.dumps(answer).encode(), Content_Type="application/json")

    def page(self, query):
        first = (json.loads(query["startkey"][0]), "") if "startkey" in query else (0, "")
        first = (first[0], query.get("startkey_docid", [""])[0])
        rows = [row for row in self.rows if row >= first]
        skip, limit = int(query["skip"][0]), int(query["limit"][0])
        return [{"key": k, "id": id, "value": None} for k, id in rows[skip : skip + limit]]


def test_pages_go_on_at_a_document_id_where_keys_are_equal(answering):
    listing = CouchdbView([(n // 10, f"{n:02}") for n in range(30)])
    rows = CouchdbStore(answering(listing).url).view("db", "d/v", page_size=4)
    found = [next(rows).id for _ in range(4)]
    listing.rows.remove((0, "01"))  # behind us: must not shift what is to come
    found += [row.id for row in rows]
    assert found == [f"{n:02}" for n in range(30)]


class PouchdbView(CouchdbView):
    """Knows no startkey_docid."""

    def __init__(self, rows):
        super().__init__(rows)
        self.about = {"express-pouchdb": "Welcome"}

    def page(self, query):
        return super().page(query | {"startkey_docid": [""]})


class GroupedView(CouchdbView):
    """Its rows are of several documents each."""

    def page(self, query):
        assert "startkey_docid" not in query
        return [{"key": row["key"], "value": 1} for row in super().page(query)]


def test_pages_of_pouchdb_skip_the_rows_of_equal_keys(answering):
    listing = PouchdbView([(n // 4, str(n)) for n in range(8)])
    rows = CouchdbStore(answering(listing).url).view("db", "d/v", page_size=3)
    assert [row.id for row in rows] == [str(n) for n in range(8)]


def test_pages_of_groups_go_on_at_a_key(answering):
    listing = GroupedView([(n, "") for n in range(5)])
    rows = CouchdbStore(answering(listing).url).view("db", "d/v", page_size=3, group=True)
    assert [(row.key, row.value) for row in rows] == [(n, 1) for n in range(5)]


def test_pages_of_a_document_that_emits_one_key_often(answering):
    listing = CouchdbView([(1, "a")] * 7 + [(1, "b")] * 2 + [(2, "b")])
    rows = CouchdbStore(answering(listing).url).view("db", "d/v", page_size=2)
    assert [(row.key, row.id) for row in rows] == listing.rows


@pytest.mark.couchdb
class TestWithServer:
    @pytest.fixture
    def store(self, couchdb_url):
        store = CouchdbStore(couchdb_url, timeout_s=5)
        store.ensure_database("db")
        yield store
        store.close()

    def test_views_are_written_once(self, store):
        store.ensure_views("db", [VIEW, OTHER])
        first = store.get("db", "_design/d")
        store.ensure_views("db", [OTHER])
        store.ensure_views("db", [OTHER, VIEW])
        assert store.get("db", "_design/d") == first
        assert first["language"] == "javascript"
        assert first["views"]["w"] == {"map": OTHER.map_javascript, "reduce": "_count"}

    def test_the_rest_of_a_design_document_stays(self, store):
        theirs = {"map": "function(doc) {}"}
        store.save("db", {"_id": "_design/d", "views": {"theirs": theirs}, "filters": {"f": "1"}})
        store.ensure_views("db", [VIEW])
        design = store.get("db", "_design/d")
        assert design["views"] == {"theirs": theirs, "v": {"map": VIEW.map_javascript}}
        assert design["filters"] == {"f": "1"}

    def test_views_declared_by_many_at_once(self, store):
        views = [View("d", f"v{n}", VIEW.map_javascript, VIEW.map_document) for n in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda view: store.ensure_views("db", [view]), views))
        assert set(store.get("db", "_design/d")["views"]) == {"v0", "v1", "v2", "v3"}

    def test_threads_share_a_store(self, store):
        with ThreadPoolExecutor(8) as pool:
            revs = list(pool.map(lambda n: store.save("db", {"_id": f"{n}", "n": n}), range(80)))
            read = list(pool.map(lambda n: store.get("db", f"{n}"), range(80)))
        assert [(doc["n"], doc["_rev"]) for doc in read] == list(enumerate(revs))

    def test_forked_processes_share_a_store(self, store):
        store.save("db", {"_id": "parent"})
        child = os.fork()
        if not child:
            store.save("db", {"_id": "child"})
            os._exit(0 if store.get("db", "parent") else 1)
        for n in range(20):
            store.save("db", {"_id": f"parent{n}"})
        assert os.waitpid(child, 0)[1] == 0
        assert len(list(store.documents("db"))) == 22

    def test_a_document_changed_by_another(self, store, couchdb_url):
        rev = store.save("db", {"_id": "x"})
        requests.put(f"{couchdb_url}/db/x", json={"_rev": rev, "n": 2}, timeout=patient(5))
        with pytest.raises(Conflict, match="db x"):
            store.save("db", {"_id": "x", "_rev": rev})

    def test_it_goes_and_comes_back(self, store, couchdb_server):
        store.save("db", {"_id": "x"})
        couchdb_server.stop()
        try:
            began = time.monotonic()
            for call in CALLS:
                with pytest.raises(StoreUnavailable, match=couchdb_server.url):
                    call(store)
            assert time.monotonic() - began < patient(5)
        finally:
            couchdb_server.start()
        store.ensure_database("db")
        assert store.save("db", {"_id": "y"})  # a server in memory has lost x


NAMES = ["_users", "account/a-202611", "account/b-202611", "account/c-202611", "accounts"]


@pytest.mark.parametrize("ranged", [True, False], ids=["CouchDB", "a server without ranges"])
def test_databases_are_listed_in_parts(answering, ranged):
    def answer(request):
        query = {n: json.loads(v[0]) for n, v in parse_qs(urlsplit(request.path).query).items()}
        assert urlsplit(request.path).path == "/_all_dbs"
        found = [name for name in NAMES if query["startkey"] <= name <= query["endkey"]]
        assert query["limit"] == 3  # One more, as the range begins with the last one known.
        names = found[: query["limit"]] if ranged else NAMES
        request.reply(200, json.dumps(names).encode(), Content_Type="application/json")

    store = CouchdbStore(answering(answer).url)
    assert store.list_databases("account/", "", 2) == NAMES[1:3]
    assert store.list_databases("account/", NAMES[2], 2) == NAMES[3:4]
    assert store.list_databases("account/", NAMES[3], 2) == []


class TestConnect:
    def test_couchdb(self, tmp_path):
        for url in ("http://127.0.0.1:1", "https://ann:pw@couch.example:6984/"):
            assert isinstance(connect(url, tmp_path), CouchdbStore)

    def test_embedded(self, tmp_path):
        store = connect("sqlite://", tmp_path / "data")
        assert isinstance(store, EmbeddedStore)
        store.ensure_database("webhooks")
        store.close()
        assert (tmp_path / "data" / "store.sqlite3").exists()

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "couch",
            "ftp://h",
            "http://",
            "http://h:port",
            "sqlite:///x",
            "http://h:99999",
            "http://h:0",
        ],
    )
    def test_anything_else(self, tmp_path, url):
        with pytest.raises(ValueError, match=r"https?.*or sqlite://"):
            connect(url, tmp_path)

    def test_the_error_shows_no_password(self, tmp_path):
        with pytest.raises(ValueError, match=r"ann:\*\*\*@") as caught:
            connect("couchdb://ann:secret@h", tmp_path)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "masked"),
        [
            ("http://h:5984", "http://h:5984"),
            ("http://ann@h:5984", "http://ann@h:5984"),
            ("http://ann:pw@h:5984/x", "http://ann:***@h:5984/x"),
            ("http://ann:p@w:d@h", "http://ann:***@h"),
            ("http://:pw@h", "http://:***@h"),
            ("http://ann:p/w@h", "http://ann:***@h"),
            ("http://h/a@b:c", "http://h/a@b:c"),
            ("sqlite://", "sqlite://"),
            (":pw@h", ":***@h"),
            ("ann:pw@h", "ann:***@h"),
        ],
    )
    def test_mask_url(self, url, masked):
        assert mask_url(url) == masked
