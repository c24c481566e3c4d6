"""A noisy neighbour: what healthy accounts get beside it, of their events and of the API."""

import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

import pika
from attrs import frozen
from contenders.known import callboards
from contenders.messages import event
from contenders.running import Callboard, Hook
from publisher import Publisher
from receiver import ENDPOINTS, Arrival
from report import Figure, Section
from surroundings import Bench

from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.repositories.tokens import add_token
from callboard.adapters.store.stores import connect
from callboard.webhooks.hooks.hook import new_hook
from services import free_port

EVENTS_PER_S = 100.0
HEALTHY, EACH_PER_S = 5, 10.0
SECONDS, QUICK_S = 20.0, 5.0
WARM_UP_S = 5.0
ARRIVE_S = 60.0
STORM_HOOKS, STORM_EVENTS = 500, 100
PAYLOAD_HOOKS, PAYLOAD_BYTES, PAYLOAD_EVENTS = 100, 1_000_000, 20
API_HOOKS = 200
API_REQUESTS, API_CONNECTIONS = 10_000, 50
SLOW_CONNECTIONS = 300
STORM = f"storm: {STORM_EVENTS} events for {STORM_HOOKS} hooks"
PAYLOADS = f"{PAYLOAD_EVENTS} payloads of 1 MB for {PAYLOAD_HOOKS} hooks"
REQUESTS, SLOW = f"{API_REQUESTS:,} API requests", f"{SLOW_CONNECTIONS} slow connections"
ALONE = "alone"
LEAST, MOST = 0.9, 2.0

TEXT = f"""\
{ENDPOINTS} healthy accounts with a hook each get {EVENTS_PER_S:.0f} events of 2 kB a second in
all, and {HEALTHY} accounts send {EACH_PER_S:.0f} requests a second each to the API, on a connection
each: they list their hooks, show one, and change one in turn. They do so alone, and beside one
account, of the same system and one after the other: its {STORM_EVENTS} events for {STORM_HOOKS}
hooks each, published at once; {PAYLOAD_EVENTS} events of 1 MB for {PAYLOAD_HOOKS} hooks;
{API_REQUESTS:,} listings of {API_HOOKS} hooks on {API_CONNECTIONS} connections as fast as it can;
{SLOW_CONNECTIONS} connections that send a byte of a head a second, and are opened again when they
are closed. A latency is from just before an event was published until the receiver has read its
request, or from the time at which a request to the API was due. The health is the longest time of
`/healthz` and `/readyz`, asked every half second."""


@frozen
class Account:
    """An account that uses the API: its id, a token of it, and the ids of its hooks."""

    id: str
    token: str
    hooks: Sequence[str]


@frozen
class Served:
    """What the healthy accounts got of the events or the API in one phase.

    `latencies_s`: of what succeeded; `took_s`: until the last one.
    """

    latencies_s: Sequence[float]
    failed: int
    took_s: float

    @property
    def per_s(self) -> float:
        return len(self.latencies_s) / self.took_s

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.latencies_s) * 1000

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.latencies_s, n=100)[98] * 1000


@frozen
class Phase:
    """What was measured while one of the noises was made. `noise`: requests of its hooks."""

    events: Served
    api: Served
    health_s: float
    noise: int


def run(bench: Bench) -> Section:
    seconds = QUICK_S if bench.quick else SECONDS
    names = ALONE, STORM, PAYLOADS, REQUESTS, SLOW
    found: list[Figure] = []
    for contender in callboards():
        phases: dict[str, list[Phase]] = {name: [] for name in names}
        for number in range(bench.runs):
            folder = bench.folder / f"neighbours-{contender.name}-{number}"
            with at_work(bench, folder, contender.settings) as healthy:
                noises: dict[str, tuple[Callable[..., None], *tuple[object, ...]]] = {
                    STORM: (_publish, healthy.amqp_url, "storm", bench.size(STORM_EVENTS), 2_000),
                    PAYLOADS: (
                        _publish,
                        healthy.amqp_url,
                        "payloads",
                        bench.size(PAYLOAD_EVENTS),
                        PAYLOAD_BYTES,
                    ),
                    REQUESTS: (_requests, healthy.port, healthy.noisy, bench.size(API_REQUESTS)),
                    SLOW: (_slow, healthy.port, SLOW_CONNECTIONS),
                }
                healthy.phase(WARM_UP_S)
                phases[ALONE].append(healthy.phase(seconds))
                for name, noise in noises.items():
                    with beside(*noise):
                        phases[name].append(healthy.phase(seconds))
                    healthy.wait_until_settled()
        found += figures(contender.name, phases)
    return Section("A noisy neighbour", found, TEXT)


@contextmanager
def at_work(bench: Bench, folder: Path, settings: Mapping[str, str]) -> Iterator["Healthy"]:
    """A system with the hooks and accounts of all, and these settings."""
    folder.mkdir()
    own = ENDPOINTS * 4 // 5
    """The endpoints of the healthy accounts; the noisy one has the others."""

    def noisy(account: str, count: int) -> list[Hook]:
        urls = (bench.receiver.url(endpoint=own + n % (ENDPOINTS - own)) for n in range(count))
        return [Hook(account, url) for url in urls]

    hooks = [
        *(Hook(f"account-{n}", bench.receiver.url(endpoint=n % own)) for n in range(ENDPOINTS)),
        *noisy("storm", STORM_HOOKS),
        *noisy("payloads", PAYLOAD_HOOKS),
    ]
    port, amqp_url = free_port(), bench.broker.vhost()
    api = {"api__enabled": "true", "api__port": str(port)}
    callboard = Callboard("Callboard", 'account = "account"', hooks, **settings, **api)
    with (
        callboard.running(amqp_url, "", folder),
        Publisher(amqp_url, callboard.wrap) as publisher,
        _open(folder / "data") as store,
    ):
        accounts = [account(store, f"{number:032x}", 3) for number in range(HEALTHY)]
        noisy_account = account(store, "f" * 32, API_HOOKS)
        while Client(port, "").status("GET", "/readyz") != 200:
            time.sleep(0.1)
        yield Healthy(bench, amqp_url, callboard.queue, publisher, port, accounts, noisy_account)


@contextmanager
def _open(folder: Path):  # type: ignore[no-untyped-def]
    store = connect("sqlite://", folder)
    try:
        yield store
    finally:
        store.close()


def account(store, id: str, hooks: int) -> Account:  # type: ignore[no-untyped-def]
    written = HookStore(store)
    written.ensure_accounts([id], 0)
    ids = [f"{id}-{number}" for number in range(hooks)]
    public = {"name": "n", "uri": "https://hooks.example.com/", "hook": "all"}
    for hook_id in ids:
        written.add(new_hook(public | {"pvt_account_id": id}, 0, hook_id, "bench"))
    return Account(id, add_token(store, id, "bench", 0).text, ids)


@frozen
class Healthy:
    """The healthy accounts; `noisy`: the account of the requests beside them."""

    bench: Bench
    amqp_url: str
    queue: str
    publisher: Publisher
    port: int
    accounts: Sequence[Account]
    noisy: Account

    def phase(self, seconds: float) -> Phase:
        """Their events and requests over some seconds, and what arrived of the noise meanwhile."""
        first, over = self.publisher.next_number, threading.Event()
        began = time.monotonic()
        with ThreadPoolExecutor(len(self.accounts) + 1) as pool:
            self.publisher.begin(round(EVENTS_PER_S * seconds), EVENTS_PER_S)
            health = pool.submit(_health, self.port, over)
            each = list(
                pool.map(lambda one: _asked(self.port, one, began + seconds), self.accounts)
            )
            took_s = max(seconds, time.monotonic() - began)
            over.set()
        self.publisher.end()
        latencies = [latency for some, _failed in each for latency in some]
        failed = sum(failed for _some, failed in each)
        events, noise = self._arrived(range(first, self.publisher.next_number))
        return Phase(events, Served(latencies, failed, took_s), health.result(), noise)

    def _arrived(self, numbers: range) -> tuple[Served, int]:
        firsts: dict[int, Arrival] = {}
        failed, noise, give_up = 0, 0, time.monotonic() + ARRIVE_S
        while len(firsts) < len(numbers) and time.monotonic() < give_up:
            for arrival in self.bench.receiver.wait_for(0, 1):
                if arrival.number not in numbers:
                    noise += 1
                elif arrival.status == 200:
                    firsts.setdefault(arrival.number, arrival)
            time.sleep(0.05)
        failed = len(numbers) - len(firsts)
        latencies = [(one.at_us - one.published_us) / 1e6 for one in firsts.values()]
        took_us = max(one.at_us for one in firsts.values()) - min(
            one.published_us for one in firsts.values()
        )
        return Served(latencies, failed, took_us / 1e6), noise

    def wait_until_settled(self) -> None:
        """Wait until no event is left, of the noisy account either."""
        give_up = time.monotonic() + ARRIVE_S
        while left := self.bench.broker.messages(self.amqp_url, self.queue):
            if time.monotonic() > give_up:
                raise TimeoutError(f"{left} messages are still in {self.queue}")
            time.sleep(0.1)
        self.bench.receiver.wait_for(0, 1)


def _asked(port: int, account: Account, until: float) -> tuple[list[float], int]:
    """The latencies of an account's requests to the API, and how many failed."""
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
def beside(noise: Callable[..., None], *arguments: object) -> Iterator[None]:
    """Make the noise in a process of its own."""
    context = get_context("spawn")
    begun, over = context.Event(), context.Event()
    process = context.Process(target=noise, args=(begun, over, *arguments), daemon=True)
    process.start()
    begun.wait(60)
    try:
        yield
    finally:
        over.set()
        process.join()


def _publish(begun: Event, over: Event, url: str, account: str, count: int, size: int) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for number in range(count):
            published = time.monotonic_ns() // 1000
            facts = {"published": published, "account": account, "note": ""}
            facts["note"] = "x" * (size - len(json.dumps(facts)))
            made = event(number, json.dumps(facts).encode())
            channel.basic_publish(made.exchange, f"{account}.event", made.body, made.properties)
            begun.set()


def _requests(begun: Event, over: Event, port: int, account: Account, count: int) -> None:
    def some(_number: int) -> None:
        client = Client(port, account.token)
        for _ in range(count // API_CONNECTIONS):
            client.status("GET", f"/v2/accounts/{account.id}/webhooks?page_size={API_HOOKS}")

    begun.set()
    with ThreadPoolExecutor(API_CONNECTIONS) as pool:
        list(pool.map(some, range(API_CONNECTIONS)))


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


def figures(contender: str, phases: dict[str, list[Phase]]) -> list[Figure]:
    """What healthy accounts get of this contender, in each phase."""
    found: list[Figure] = []

    def add(what: str, unit: str, of: Callable[[Phase], float], **goal: float) -> None:
        for name, some in phases.items():
            found.append(Figure(f"{contender}: {what}, {name}", unit, [of(one) for one in some]))
        for name, some in phases.items():
            if goal and name != ALONE:
                pairs = zip(some, phases[ALONE], strict=True)
                ratios = [of(one) / of(base) for one, base in pairs]
                ratio = f"{contender}: {what}, {name} : {ALONE}"
                found.append(Figure(ratio, f"times the {unit}", ratios, **goal))

    add("events", "deliveries/s", lambda one: one.events.per_s, at_least=LEAST)
    add("events", "p50 ms", lambda one: one.events.p50_ms)
    add("events", "p99 ms", lambda one: one.events.p99_ms, at_most=MOST)
    add("events", "missing", lambda one: one.events.failed)
    add("API", "requests/s", lambda one: one.api.per_s, at_least=LEAST)
    add("API", "p99 ms", lambda one: one.api.p99_ms, at_most=MOST)
    add("API", "failed", lambda one: one.api.failed)
    add("API", "health s", lambda one: one.health_s)
    add("noise", "requests of its hooks meanwhile", lambda one: one.noise)
    return found
