"""One client, or one account, that takes all it can get leaves the others what they need."""

import queue
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import requests

from callboard import admin
from callboard.actors.api.connections import Connections
from callboard.actors.api.thread import ApiThread
from callboard.actors.messages import GetMetrics, MetricsText
from callboard.adapters.repositories.tokens import add_token
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.views import ALL
from callboard.config.settings import QuotaSettings, Settings
from services.rabbitmq import wait_until
from support.api import ADMIN, CHILD, PARENT, Api, whole_system
from support.patience import patient

HEAD = b"PUT /v2/accounts/a/webhooks HTTP/1.1\r\nHost: a\r\n"
SLOW = {
    "nothing": b"",
    "part of a head": HEAD,
    "part of a body": HEAD + b"Content-Length: 100\r\n\r\n{",
}


class Held(EmbeddedStore):
    """Listings of the hooks of PARENT wait for `go_on`; `waiting` has an item for each."""

    def __init__(self, folder):
        super().__init__(folder / "store.sqlite3", views=ALL)
        self.go_on, self.waiting = threading.Event(), queue.Queue()

    def view(self, database, view, **options):
        if options.get("include_documents") and options["start"][0] == PARENT:
            self.waiting.put(None)
            assert self.go_on.wait(patient(60))
        return super().view(database, view, **options)


@pytest.fixture
def held(tmp_path):
    return Held(tmp_path)


class Served:
    """The API at an address, with one connection for each request."""

    def __init__(self, api, place):
        self.api, self.url = api, f"http://127.0.0.1:{place}"
        self.place = "127.0.0.1", place

    def get(self, path, token=None, method="GET"):
        headers = {"X-Auth-Token": token} if token else {}
        return requests.request(method, self.url + path, headers=headers, timeout=patient(30))

    def hooks(self, account, token):
        return self.get(f"/v2/accounts/{account}/webhooks", token).status_code

    def health(self):
        self.api.backend.answers[GetMetrics] = MetricsText("x 1\n", "text/plain")
        checked = ("/healthz", None), ("/readyz", None), ("/metrics", ADMIN)
        return [self.get(path, token).status_code for path, token in checked]


WELL = [200, 503, 200]
"""`whole_system` says that the node is not ready: an answer as good as the other."""


@pytest.fixture
def serve(held):
    ends = []

    def serve(connections=None, **quotas):
        connections = Connections(64) if connections is None else connections
        api = Api(held, Settings(quotas=QuotaSettings(**quotas)))
        api.backend.answers |= whole_system()
        ports, ended = queue.Queue(), queue.Queue()
        server = ApiThread("127.0.0.1", 0, lambda: api.app, ports.put, ended.put, connections)
        server.start()
        ends.append((server, ended, api))
        return Served(api, ports.get(timeout=patient(20)))

    yield serve
    held.go_on.set()
    for server, ended, api in ends:
        server.stop()
        assert ended.get(timeout=patient(20)) is None
        api.store.close()


def token_of(served, account):
    token = add_token(served.api.store, account, "n", 0).text
    assert served.get("/v2/webhooks", token).status_code == 200
    return token


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_three_hundred_slow_connections_keep_no_one_away(serve, address, sent):
    connections = Connections(64)
    served = serve(connections)
    slow = []
    try:
        for _ in range(300):
            client = socket.create_connection(served.place, source_address=(address, 0))
            slow.append(client)
            client.sendall(sent)
        assert served.health() == WELL
        assert [served.hooks(CHILD, ADMIN) for _ in range(5)] == [200] * 5
        wait_until(lambda: len(connections) <= 65, "end of the others", 20)
    finally:
        for client in slow:
            client.close()


def test_an_account_of_many_requests_keeps_no_other_waiting(serve, held):
    served = serve(requests=3)
    noisy, quiet = token_of(served, PARENT), token_of(served, CHILD)
    with ThreadPoolExecutor(30) as pool:
        pending = [pool.submit(served.hooks, PARENT, noisy) for _ in range(30)]
        for _ in range(3):
            held.waiting.get(timeout=patient(20))
        assert served.hooks(CHILD, quiet) == 200
        assert served.health() == WELL
        assert held.waiting.empty(), "three requests of the account are worked on"
        held.go_on.set()
        assert [one.result() for one in pending] == [200] * 30


def test_a_line_that_is_full_says_which_setting(serve, held):
    served = serve(Connections(100), requests=1)
    noisy = token_of(served, PARENT)
    with ThreadPoolExecutor(65) as pool:
        pending = [pool.submit(served.hooks, PARENT, noisy) for _ in range(65)]
        admission = served.api.app.state.admission
        wait_until(lambda: admission.slots.waiting == 64, "requests that wait", 20)
        refused = served.get(f"/v2/accounts/{PARENT}/webhooks", noisy)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert refused.headers["x-request-id"]
        told = refused.json()["data"]
        assert (told["setting"], "quotas.requests allows 1" in told["message"]) == (
            "quotas.requests",
            True,
        )
        assert admission.refusals.total == 1
        held.go_on.set()
        assert [one.result() for one in pending] == [200] * 65


def test_the_admin_of_many_accounts_is_no_single_client(serve, held):
    """A portal asks for all its customers with one token."""
    served = serve(requests=2)
    with ThreadPoolExecutor(10) as pool:
        pending = [pool.submit(served.hooks, PARENT, ADMIN) for _ in range(10)]
        for _ in range(2):
            held.waiting.get(timeout=patient(20))
        assert served.hooks(CHILD, ADMIN) == 200
        assert served.get("/v2/callboard/token", ADMIN).status_code == 200
        held.go_on.set()
        assert [one.result() for one in pending] == [200] * 10


def test_test_deliveries_that_take_long_hold_nothing(serve):
    served = serve(requests=1)
    tested = served.api.backend.answers[admin.TestHook]
    pending = served.api.backend.answers[admin.TestHook] = Future()
    hook = served.api.add_hook(CHILD)["id"]
    test = f"/v2/accounts/{CHILD}/webhooks/{hook}/test"
    with ThreadPoolExecutor(20) as pool:
        tests = [pool.submit(served.get, test, ADMIN, "PUT") for _ in range(20)]
        asked = served.api.backend.asked
        wait_until(lambda: sum(isinstance(m, admin.TestHook) for _, m in asked) == 20, "tests", 20)
        assert served.hooks(CHILD, ADMIN) == 200
        pending.set_result(tested)
        assert {one.result().status_code for one in tests} == {200}


def test_when_all_connections_are_at_work_the_health_is_told(serve, held):
    served = serve(Connections(2))
    with ThreadPoolExecutor(2) as pool:
        pending = [pool.submit(served.hooks, PARENT, ADMIN) for _ in range(2)]
        for _ in range(2):
            held.waiting.get(timeout=patient(20))
        assert served.health() == WELL
        refused = served.get(f"/v2/accounts/{CHILD}/webhooks", ADMIN)
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        named = ("content-type", "retry-after")
        assert [refused.headers[name] for name in named] == ["application/json", "5"]
        why = "too many connections are open: close some, or try again later"
        assert refused.json() == {
            "data": {"message": why},
            **{"error": "503", "message": "too_many_connections", "status": "error"},
        }
        held.go_on.set()
        assert [one.result() for one in pending] == [200] * 2
    assert served.hooks(CHILD, ADMIN) == 200
