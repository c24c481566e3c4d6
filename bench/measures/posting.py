"""How many events clients can post to the API, and how soon each is accepted and delivered."""

import os
import selectors
import socket
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen
from contenders.running import cpu_s
from events import BYTES, body
from report import Figure, Section
from surroundings import Bench
from system_under_test import SystemUnderTest

from measures.latency import quantile
from measures.rates import BEFORE
from services import free_port

CONNECTIONS = (1, 64)
POSTS = {1: 1_000, 64: 10_000}
LIST = 50
LISTS = 200
WARM_UP = 300
ARRIVE_S = 120.0
MICRO = 1e6

TEXT = f"""\
Events of {BYTES} bytes, posted by the admin's token to `POST /v2/events`, for an account with one
hook that has a secret, so that each is delivered once. Each connection sends its next post when the
one before is accepted (202: it is on the broker's disk). {LIST} a post: lists. CPU is user and
system time of all processes of Callboard, until all are delivered; broker, receiver and client run
on the same processors. {BEFORE} names the Python of another installation, to measure it too."""


@frozen
class Place:
    """Where a system takes posts, and with which token."""

    port: int
    token: str


@frozen
class Accepted:
    """What a number of connections posted. `times_s`: of each post, sorted."""

    took_s: float
    times_s: Sequence[float]


def run(bench: Bench) -> Section:
    values: Mapping[tuple[str, str], list[float]] = defaultdict(list)
    pythons = {"now": None, "before": os.environ.get(BEFORE)}
    systems = [
        (when, broker, python)
        for broker in ("RabbitMQ", "embedded")
        for when, python in pythons.items()
        if when == "now" or python
    ]
    for _turn in range(bench.runs):
        for when, broker, python in systems:
            with system(bench, broker, python) as (tree, place):
                measure(bench, f"{broker}, {when}", tree, place, values)
    return Section(
        "Posting", [Figure(name, unit, some) for (name, unit), some in values.items()], TEXT
    )


@contextmanager
def system(
    bench: Bench, broker: str, python: str | None
) -> Iterator[tuple[SystemUnderTest, Place]]:
    """A system that takes posts, and has a hook for them."""
    port = free_port()
    with ExitStack() as stack:
        data = Path(stack.enter_context(TemporaryDirectory(prefix="callboard-bench-")))
        tree = stack.enter_context(
            SystemUnderTest(
                **({"python": python} if python else {}),
                amqp__url=bench.broker.vhost() if broker == "RabbitMQ" else "memory://",
                data__dir=str(data),
                api__enabled="true",
                api__events="true",
                api__port=str(port),
                quotas__events_per_s="1000000",
                delivery__allow_networks="127.0.0.0/8",
                log__level="error",
            )
        )
        url = bench.receiver.url()
        added = tree.run("hooks", "add", url, "--account", "bench", "--event", "event")
        tree.run("hooks", "secret", "new", added["_id"])
        yield tree, Place(port, (data / "api.token").read_text().strip())


def measure(
    bench: Bench,
    name: str,
    tree: SystemUnderTest,
    place: Place,
    values: Mapping[tuple[str, str], list[float]],
) -> None:
    post(place, 1, WARM_UP)
    bench.receiver.wait_for(WARM_UP, ARRIVE_S)
    for connections in CONNECTIONS:
        count = bench.size(POSTS[connections])
        before, began = cpu_s(tree.processes()), time.monotonic()
        accepted = post(place, connections, count)
        came = bench.receiver.wait_for(count, ARRIVE_S)
        delivered_s = came[-1].at_us / MICRO - began
        cost_us = (cpu_s(tree.processes()) - before) / count * MICRO
        late = sorted((arrival.at_us - arrival.published_us) / 1e3 for arrival in came)
        label = f"{name}, {connections} connection{'s' * (connections > 1)}"
        values[f"{label}, accepted", "posts/s"].append(count / accepted.took_s)
        values[f"{label}, delivered", "events/s"].append(count / delivered_s)
        values[f"{label}, until accepted p50", "ms"].append(quantile(accepted.times_s, 0.5) * 1e3)
        values[f"{label}, until accepted p99", "ms"].append(quantile(accepted.times_s, 0.99) * 1e3)
        values[f"{label}, until delivered p50", "ms"].append(quantile(late, 0.5))
        values[f"{label}, until delivered p99", "ms"].append(quantile(late, 0.99))
        values[f"{label}, all of it", "µs CPU/event"].append(cost_us)
    if ", now" in name:
        count = bench.size(LISTS)
        accepted = post(place, 4, count, LIST)
        bench.receiver.wait_for(count * LIST, ARRIVE_S)
        values[f"{name}, lists of {LIST}", "events/s"].append(count * LIST / accepted.took_s)


def post(place: Place, connections: int, count: int, each: int = 1) -> Accepted:
    """Send so many posts. Raises RuntimeError if one is not accepted."""
    selector = selectors.DefaultSelector()
    times: list[float] = []
    sent_at: dict[socket.socket, float] = {}
    answers: dict[socket.socket, bytes] = {}
    left = count
    began = time.monotonic()
    with ExitStack() as stack:
        for _connection in range(connections):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", place.port)))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(client, selectors.EVENT_READ)
            if left:
                left -= 1
                sent_at[client] = time.monotonic()
                client.sendall(request(place, len(times) + left, each))
        while len(times) < count:
            for key, _events in selector.select(30.0):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                answer = answers[client] = answers.pop(client, b"") + client.recv(65536)
                if not answer.startswith(b"HTTP/1.1 202 "):
                    raise RuntimeError(f"a post was not accepted: {answer[:300]!r}")
                if not answer.endswith(b"}"):
                    continue
                del answers[client]
                now = time.monotonic()
                times.append(now - sent_at[client])
                if left:
                    left -= 1
                    sent_at[client] = now
                    client.sendall(request(place, left, each))
    return Accepted(time.monotonic() - began, sorted(times))


def request(place: Place, number: int, each: int) -> bytes:
    """A post of an event, or of a list of them."""
    payload = body(number, int(time.monotonic() * MICRO))
    event = b'{"name": "bench.event", "account_id": "bench", "payload": %b}' % payload
    sent = b'{"data": %b}' % (event if each == 1 else b"[%b]" % b",".join([event] * each))
    return (
        b"POST /v2/events HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        b"X-Auth-Token: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (place.token.encode(), len(sent), sent)
    )
