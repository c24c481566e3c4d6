"""Publishing that survives the broker's death, and kills of a system's random processes."""

import contextlib
import os
import random
import re
import select
import signal
import threading
import time
from collections import Counter

import pika
import psutil

from support.patience import patient
from support.running import outgoing

PAUSE_S = (0.2, 0.6)
"""The pause between two kills."""
WHOLE_PAUSE_S = 8.0
"""The pause between two kills that restart the whole tree: it must make progress in between."""
RESTART_S = 2.0
"""RestartSec of the unit in docs/operations.md."""
RESTART_WITHIN_S = patient(30.0)

_CHILD = re.compile(r"event=child_started .*actor=(\S+) child=(\S+) child_pid=(\d+)")


class Worker(threading.Thread):
    """A thread that runs until its work is done; the test fails with it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.failure = None

    def run(self):
        try:
            self.work()
        except BaseException as failure:  # noqa: BLE001 - raised again by `end`
            self.failure = failure

    def end(self, timeout_s):
        timeout_s = patient(timeout_s)
        self.join(timeout_s)
        if self.failure is not None:
            raise self.failure
        assert not self.is_alive(), f"{type(self).__name__} did not end within {timeout_s} s"


class Publisher(Worker):
    """Publishes persistent messages at a rate per second, each until the broker has confirmed it.

    An event whose confirm was lost with the connection is published again, so it may exist twice.
    """

    def __init__(self, url, bodies, per_s):
        super().__init__()
        self._parameters = pika.URLParameters(url)
        self._bodies = bodies
        self._pace_s = 1 / per_s
        self.published = 0
        self.repeated = 0

    def work(self):
        began = time.monotonic()
        for number, body in enumerate(self._bodies):
            early_s = began + number * self._pace_s - time.monotonic()
            if early_s > 0:
                select.select([], [], [], early_s)
            while not self._publish(body):
                self.repeated += 1
                select.select([], [], [], 0.05)
            self.published += 1
        self._close()

    _connection = None

    def _publish(self, body):
        exchange, key, text, content_type = outgoing(body)
        properties = pika.BasicProperties(content_type=content_type, delivery_mode=2)
        try:
            if self._connection is None:
                self._connection = pika.BlockingConnection(self._parameters)
                self._channel = self._connection.channel()
                self._channel.confirm_delivery()
            self._channel.basic_publish(exchange, key, text, properties, mandatory=True)
        except (pika.exceptions.AMQPError, OSError):
            self._close()
            return False
        return True

    def _close(self):
        connection, self._connection = self._connection, None
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            if connection is not None:
                connection.close()


class BrokerKiller(Worker):
    """Kills the broker (kill -9) and starts it again, each time after a number of events."""

    def __init__(self, broker, publisher, after):
        super().__init__()
        self._broker, self._publisher, self._after = broker, publisher, after
        self.kills = 0
        self.history = []

    def work(self):
        for count in self._after:
            while self._publisher.published < count and self._publisher.is_alive():
                select.select([], [], [], 0.02)
            self._broker.kill()
            self.kills += 1
            self.history.append((time.monotonic(), "broker"))
            self._broker.start()


class Killer:
    """Kills random processes of a system (kill -9); its owner is restarted, as systemd would.

    Runs in the test's own thread: a process started by a thread with `die_with_parent` ends with
    it.
    """

    def __init__(self, system, seed):
        self._system = system
        self._random = random.Random(seed)
        self._whole_at = time.monotonic()
        self.kills = Counter()
        self.history = []
        self.ended_by_itself = []
        """The log before each end that was not a kill."""
        self.refused_starts = 0

    def work(self, while_):
        while while_():
            select.select([], [], [], self._random.uniform(*PAUSE_S))
            if self._system.process.poll() is not None:
                self.ended_by_itself.append(self._system.tail())
                self._start_again()
                continue
            self._kill_one()

    def _kill_one(self):
        victims = {process: name for process, name in self._named().items() if self._may(name)}
        if not victims:
            return
        victim = self._random.choice(sorted(victims, key=lambda process: process.pid))
        name = victims[victim]
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)
            self.history.append((time.monotonic(), name, victim.pid))
            self.kills[re.sub(r"\d+$", "*", name)] += 1
        if name in WHOLE:
            self._whole_at = time.monotonic()
        if name == "owner":
            self._start_again()

    def _start_again(self):
        """Retry every two seconds: processes of the dead owner hold the lock until they end."""
        end = time.monotonic() + RESTART_WITHIN_S
        while True:
            self._system.process.wait()
            self._system.process.stdout.close()
            try:
                self._system.start()
            except AssertionError:
                self.refused_starts += 1
                if time.monotonic() > end:
                    left = self._named()
                    raise AssertionError(f"left behind: {left}; killed: {self.history}") from None
                select.select([], [], [], RESTART_S)
            else:
                self._whole_at = time.monotonic()
                return

    def _may(self, name):
        return name not in WHOLE or time.monotonic() - self._whole_at > WHOLE_PAUSE_S

    def _named(self):
        """The processes of the system, with their roles."""
        children = {
            int(pid): f"{actor}/{child}".removeprefix("WebhooksSupervisor/")
            for actor, child, pid in _CHILD.findall(self._system.log.read_text())
        }
        family = {process.pid: process for process in self._system.family()}
        parents = {}
        for process in family.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                parents[process.pid] = process.ppid()

        def name(pid):
            if pid == self._system.process.pid:
                return "owner"
            if pid in children:
                return children[pid]
            if parents.get(pid) not in family:
                return "admin"
            return "top" if pid in parents.values() else "starting or logger"

        return {process: name(pid) for pid, process in family.items()}


WHOLE = ("owner", "admin", "top")


CAUSES = (
    ("all deliverers", re.compile(r"(owner|admin|top|deliveries)$")),
    ("one deliverer", re.compile(r"deliveries/deliverer-\d+$")),
    ("the bridge or the broker", re.compile(r"(event_bridge|broker)$")),
    ("something else", re.compile("")),
)
"""The processes lost by each kill, the most far-reaching kill first."""


def causes(repeats, kills):
    """Count repeats by the kill since the delivery's first response.

    `repeats`: (first, again) seconds. `kills`: (seconds, name). Of several kills the most
    far-reaching one counts.
    """
    counts = Counter()
    for first_s, again_s in repeats:
        names = [name for at_s, name in kills if first_s - 1.0 <= at_s <= again_s]
        for cause, pattern in CAUSES:
            if any(pattern.match(name) for name in names):
                counts[cause] += 1
                break
        else:
            counts["nothing"] += 1
    return counts
