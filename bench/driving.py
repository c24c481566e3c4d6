"""Drives one contender: how fast it drains a queue, and how late events arrive at a given rate."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pika
import psutil
from attrs import frozen
from contenders.running import Contender, Running, cpu_s
from publisher import Publisher
from receiver import Arrival
from surroundings import Bench

READY_S = 60.0
PROBE_S = 1.0
ARRIVE_S = 180.0
SETTLE_S = 1.0
MICRO = 1e6
BROKER, RECEIVER = "broker", "receiver"

Kind = TypeVar("Kind", bound=Contender)


@frozen
class Load:
    """What one contender did with a load; CPU times in microseconds for each event."""

    events: int
    began_us: int
    """Of the monotonic clock: when it could begin."""
    cpu_us: float
    kinds_us: Mapping[str, float]
    """The same by what its processes do."""
    broker_us: float
    receiver_us: float
    publisher_us: float
    arrivals: tuple[Arrival, ...]
    """The first successful one of each delivery, in the order in which they came."""
    failed: int
    repeats: int
    put_off: int
    """Deliveries that went through the durable retry queue, since the contender was started."""

    @property
    def per_s(self) -> float:
        """Events a second, until the last delivery arrived."""
        return self.events * MICRO / (self.arrivals[-1].at_us - self.began_us)

    def per_s_of(self, deliveries: int) -> float:
        """Deliveries a second, until so many had arrived."""
        return deliveries * MICRO / (self.arrivals[deliveries - 1].at_us - self.began_us)

    @property
    def latencies_ms(self) -> list[float]:
        """From just before an event was published until its request was read; sorted."""
        return sorted((arrival.at_us - arrival.published_us) / 1e3 for arrival in self.arrivals)


class Driven:
    """A contender that runs on an empty virtual host; each event makes `each` deliveries."""

    def __init__(
        self,
        bench: Bench,
        contender: Contender,
        running: Running,
        amqp_url: str,
        publisher: Publisher,
        each: int,
    ) -> None:
        self.running = running
        self._bench, self._queue, self._amqp_url = bench, contender.queue, amqp_url
        self._publisher, self._each = publisher, each

    def warm_up(self, events: int) -> float:
        """Wait until it consumes, and let so many through; events a second."""
        self._wait_for_consumers()
        assert self._kinds
        self._publisher.publish(1)
        self._delivered(1)
        began = time.monotonic()
        self._publisher.publish(events)
        self._delivered(events)
        return events / (time.monotonic() - began)

    def drain(self, events: int) -> Load:
        """Fill its queue while it stands still, and let it go."""
        with self.running.paused():
            published = self._publisher.publish(events)
            before, began_us = self._cpu_s(), _now_us()
        return self._load(events, before, began_us, published.cpu_s)

    def idle(self, seconds: float) -> float:
        """Milliseconds of CPU time a second while nothing happens."""
        before, began = self.running.cpu_s(), time.monotonic()
        time.sleep(seconds)
        return (self.running.cpu_s() - before) / (time.monotonic() - began) * 1e3

    def at(self, per_s: float, seconds: float) -> Load:
        """Publish at this rate for so long."""
        events = max(1, round(per_s * seconds))
        before, began_us = self._cpu_s(), _now_us()
        self._publisher.begin(events, per_s)
        cpu_s = self._publisher.end().cpu_s
        return self._load(events, before, began_us, cpu_s)

    def _load(
        self, events: int, before: Mapping[str, float], began_us: int, publisher_s: float
    ) -> Load:
        came = self._delivered(events)
        self._wait_until_empty()
        time.sleep(SETTLE_S)
        came += self._bench.receiver.wait_for(0, 1)
        costs = {
            name: (after_s - before[name]) / events * MICRO
            for name, after_s in self._cpu_s().items()
        }
        broker_us, receiver_us = costs.pop(BROKER), costs.pop(RECEIVER)
        succeeded = [arrival for arrival in came if arrival.status == 200]
        firsts: dict[tuple[int, str], Arrival] = {}
        for arrival in succeeded:
            firsts.setdefault((arrival.number, arrival.endpoint), arrival)
        return Load(
            events,
            began_us,
            sum(costs.values()),
            costs,
            broker_us,
            receiver_us,
            publisher_us=publisher_s / events * MICRO,
            arrivals=tuple(firsts.values()),
            failed=len(came) - len(succeeded),
            repeats=len(succeeded) - len(firsts),
            put_off=self.running.put_off(),
        )

    def _delivered(self, events: int) -> list[Arrival]:
        """All requests that came until the last so many events were delivered."""
        numbers = range(self._publisher.next_number - events, self._publisher.next_number)
        came = self._bench.receiver.wait_for(events * self._each, ARRIVE_S)
        give_up = time.monotonic() + ARRIVE_S
        while missing := events * self._each - len(_deliveries(came, numbers)):
            if time.monotonic() > give_up:
                raise TimeoutError(f"{missing} deliveries are missing")
            came += self._bench.receiver.wait_for(1, ARRIVE_S)
        return [arrival for arrival in came if arrival.number in numbers]

    def _cpu_s(self) -> dict[str, float]:
        """CPU time so far, of the contender's kinds of processes and of those around it."""
        kinds = {
            **self._kinds,
            BROKER: self._bench.broker.processes,
            RECEIVER: [self._bench.receiver.process],
        }
        return {name: cpu_s(processes) for name, processes in kinds.items()}

    @cached_property
    def _kinds(self) -> Mapping[str, list[psutil.Process]]:
        """Its processes, which stay the same while it is driven."""
        return self.running.kinds()

    def _wait_for_consumers(self) -> None:
        give_up = time.monotonic() + READY_S
        with pika.BlockingConnection(pika.URLParameters(self._amqp_url)) as connection:
            while not _consumers(connection, self._queue):
                if time.monotonic() > give_up:
                    raise TimeoutError(f"nobody consumes {self._queue}")
                time.sleep(0.1)

    def _wait_until_empty(self) -> None:
        give_up = time.monotonic() + ARRIVE_S
        while left := self._bench.broker.messages(self._amqp_url, self._queue):
            if time.monotonic() > give_up:
                raise TimeoutError(f"{left} messages are still in {self._queue}")
            time.sleep(0.05)


def turns(bench: Bench, contenders: Sequence[Kind]) -> Iterator[Kind]:
    """Each of them in each run, in an order that rotates."""
    for run in range(bench.runs):
        first = run % len(contenders)
        yield from (*contenders[first:], *contenders[:first])


@contextmanager
def driven(
    bench: Bench, contender: Contender, url: str | None = None, each: int = 1
) -> Iterator[Driven]:
    """The contender runs meanwhile, delivers to `url` or to the quick endpoint, and is fed."""
    amqp_url = bench.broker.vhost()
    with (
        tempfile.TemporaryDirectory(dir=bench.folder) as folder,
        contender.running(amqp_url, url or bench.receiver.url(), Path(folder)) as running,
        Publisher(amqp_url, contender.wrap) as publisher,
    ):
        yield Driven(bench, contender, running, amqp_url, publisher, each)


def _deliveries(came: list[Arrival], numbers: range) -> set[tuple[int, str]]:
    return {
        (arrival.number, arrival.endpoint)
        for arrival in came
        if arrival.status == 200 and arrival.number in numbers
    }


def _consumers(connection: pika.BlockingConnection, queue: str) -> int:
    try:
        found = connection.channel().queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker:  # not yet there
        return 0
    return int(found.method.consumer_count)


def _now_us() -> int:
    return time.monotonic_ns() // 1000
