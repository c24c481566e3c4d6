"""A noisy neighbour at the API: what healthy accounts get beside it."""

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

from attrs import frozen
from report import Figure, Section
from surroundings import Bench
from system_under_test import SystemUnderTest

from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.repositories.tokens import add_token
from callboard.adapters.store.stores import connect
from callboard.webhooks.hooks.hook import new_hook
from services import free_port

HEALTHY, EACH_PER_S = 5, 10.0
SECONDS, QUICK_S = 20.0, 5.0
WARM_UP_S = 3.0
NOISY_REQUESTS, NOISY_CONNECTIONS = 10_000, 50
NOISY_HOOKS = 200
SLOW_CONNECTIONS = 300
NOISE, SLOW = "10,000 requests of another account", f"{SLOW_CONNECTIONS} slow connections"
LEAST, MOST = 0.9, 2.0

TEXT = f"""\
{HEALTHY} accounts send {EACH_PER_S:.0f} requests a second each to the API, on a connection each:
they list their hooks, show one, and change one in turn. They do so alone, beside an account that
lists its {NOISY_HOOKS} hooks {NOISY_REQUESTS:,} times on {NOISY_CONNECTIONS} connections as fast as
it can, and beside {SLOW_CONNECTIONS} connections of the same address that send a byte of a head a
second, and are opened again when they are closed. A latency is from the time at which the request
was due. The health is the longest time of `/healthz` and `/readyz`, asked every half second."""


@frozen
class Account:
    """An account of the measure: its id, a token of it, and the ids of its hooks."""

    id: str
    token: str
    hooks: Sequence[str]


@frozen
class Served:
    """What the healthy accounts got in one phase. `latencies_s`: of requests that succeeded."""

    latencies_s: Sequence[float]
    failed: int
    took_s: float
    health_s: float

    @property
    def per_s(self) -> float:
        return len(self.latencies_s) / self.took_s

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.latencies_s, n=100)[98] * 1000


def run(bench: Bench) -> Section:
    seconds = QUICK_S if bench.quick else SECONDS
    values: dict[str, list[Served]] = {"alone": [], NOISE: [], SLOW: []}
    noisy_took: list[float] = []
    for number in range(bench.runs):
        folder = bench.folder / f"api-neighbours-{number}"
        with started(folder) as (place, accounts, noisy):
            values["alone"].append(served(place, accounts, seconds))
            with beside(_requests, place, noisy, bench.size(NOISY_REQUESTS)) as ended:
                began = time.monotonic()
                values[NOISE].append(served(place, accounts, seconds))
                ended()
                noisy_took.append(time.monotonic() - began)
            with beside(_slow, place, SLOW_CONNECTIONS):
                values[SLOW].append(served(place, accounts, seconds))
    return Section("A noisy neighbour at the API", figures(values, noisy_took), TEXT)


@contextmanager
def started(folder: Path) -> Iterator[tuple[int, list[Account], Account]]:
    """A system with the accounts, and the port of its API."""
    folder.mkdir()
    port = free_port()
    settings = {"data__dir": str(folder), "api__enabled": "true", "api__port": str(port)}
    with SystemUnderTest(**settings):
        store = connect("sqlite://", folder)
        try:
            healthy = [account(store, f"{number:032x}", 3) for number in range(HEALTHY)]
            noisy = account(store, "f" * 32, NOISY_HOOKS)
            while Client(port, "").status("GET", "/readyz") != 200:
                time.sleep(0.1)
            served(port, healthy, WARM_UP_S)
            yield port, healthy, noisy
        finally:
            store.close()


def account(store, id: str, hooks: int) -> Account:  # type: ignore[no-untyped-def]
    written = HookStore(store)
    written.ensure_account(id, 0)
    ids = [f"{id}-{number}" for number in range(hooks)]
    public = {"name": "n", "uri": "https://hooks.example.com/", "hook": "all"}
    for hook_id in ids:
        written.add(new_hook(public | {"pvt_account_id": id}, 0, hook_id, "bench"))
    return Account(id, add_token(store, id, "bench", 0).text, ids)


def served(port: int, accounts: Sequence[Account], seconds: float) -> Served:
    """The healthy accounts' requests over some seconds."""
    over = threading.Event()
    began = time.monotonic()
    with ThreadPoolExecutor(len(accounts) + 1) as pool:
        health = pool.submit(_health, port, over)
        each = list(pool.map(lambda one: _healthy(port, one, began + seconds), accounts))
        took_s = max(seconds, time.monotonic() - began)
        over.set()
    latencies = [latency for some, _failed in each for latency in some]
    return Served(latencies, sum(failed for _some, failed in each), took_s, health.result())


def _healthy(port: int, account: Account, until: float) -> tuple[list[float], int]:
    client = Client(port, account.token)
    hooks = f"/v2/accounts/{account.id}/webhooks"
    one = f"{hooks}/{account.hooks[0]}"
    turns = ("GET", hooks, ""), ("GET", one, ""), ("PATCH", one, '{"data": {"name": "m"}}')
    latencies, failed, number, due = list[float](), 0, 0, time.monotonic()
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))
        if client.status(*turns[number % len(turns)]) == 200:
            latencies.append(time.monotonic() - due)
        else:
            failed += 1
        number += 1
        due += 1 / EACH_PER_S
    return latencies, failed


def _health(port: int, over: threading.Event) -> float:
    """The longest time of a health request; infinite if one failed."""
    longest = 0.0
    while not over.wait(0.5):
        for path in ("/healthz", "/readyz"):
            began = time.monotonic()
            fine = Client(port, "").status("GET", path) == 200
            longest = max(longest, time.monotonic() - began if fine else float("inf"))
    return longest


class Client:
    """One connection, opened again when the server has closed it."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"X-Auth-Token": token} if token else {}

    def status(self, method: str, path: str, body: str = "") -> int:
        """The status of the response; 0 if there was none."""
        for attempts_left in (1, 0):
            try:
                self._connection.request(method, path, body or None, self._headers)
                response = self._connection.getresponse()
                response.read()
            except (OSError, HTTPException):
                self._connection.close()
                if not attempts_left:
                    return 0
            else:
                return response.status
        raise AssertionError("the last attempt returns")


@contextmanager
def beside(noise: Callable[..., None], *arguments: object) -> Iterator[Callable[[], None]]:
    """Run the noise in a process of its own; yields a function that waits for its end."""
    context = get_context("spawn")
    begun, over = context.Event(), context.Event()
    process = context.Process(target=noise, args=(begun, over, *arguments), daemon=True)
    process.start()
    begun.wait(60)
    try:
        yield process.join
    finally:
        over.set()
        process.join()


def _requests(begun: Event, over: Event, port: int, account: Account, count: int) -> None:
    def some(number: int) -> None:
        client = Client(port, account.token)
        for _ in range(count // NOISY_CONNECTIONS):
            client.status("GET", f"/v2/accounts/{account.id}/webhooks?page_size=200")

    begun.set()
    with ThreadPoolExecutor(NOISY_CONNECTIONS) as pool:
        list(pool.map(some, range(NOISY_CONNECTIONS)))


def _slow(begun: Event, over: Event, port: int, count: int) -> None:
    clients = [_connected(port) for _ in range(count)]
    begun.set()
    while not over.wait(1.0):
        for place, client in enumerate(clients):
            try:
                client.send(b"G")
            except OSError:
                client.close()
                with suppress(OSError):
                    clients[place] = _connected(port)
    for client in clients:
        client.close()


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def figures(values: dict[str, list[Served]], noisy_took: list[float]) -> list[Figure]:
    alone = values["alone"]

    def ratios(phase: str, of: Callable[[Served], float]) -> list[float]:
        return [of(one) / of(base) for one, base in zip(values[phase], alone, strict=True)]

    noise = [phase for phase in values if phase != "alone"]
    return [
        *(Figure(name, "requests/s", [one.per_s for one in some]) for name, some in values.items()),
        *(
            Figure(f"{name} : alone", "times the rate", ratios(name, lambda s: s.per_s), LEAST)
            for name in noise
        ),
        *(Figure(name, "p99 ms", [one.p99_ms for one in some]) for name, some in values.items()),
        *(
            Figure(
                f"{name} : alone", "times the p99", ratios(name, lambda s: s.p99_ms), at_most=MOST
            )
            for name in noise
        ),
        *(Figure(name, "failed", [one.failed for one in some]) for name, some in values.items()),
        *(
            Figure(name, "health s", [one.health_s for one in some])
            for name, some in values.items()
        ),
        Figure(NOISE, "s for all of them", noisy_took),
    ]
