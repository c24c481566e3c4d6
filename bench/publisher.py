"""Publishes events in a process of its own, as a `Publisher` tells it.

    python bench/publisher.py AMQP_URL WRAP

Each line of standard input says from which number, how many, and how many a second (0: as fast as
it can). The answer is a line when the broker has taken them all: how long it took and how much CPU
time, both in seconds.
"""

import subprocess
import sys
import time
from pathlib import Path

import pika
from attrs import frozen
from events import body

from callboard.supervision import die_with_parent

MICRO = 1_000


def publish(channel, wrap, first: int, count: int, per_s: float) -> None:
    """At a rate each has its own moment; one that is missed is made up for at once."""
    began = time.monotonic()
    for number in range(first, first + count):
        if per_s:
            early_s = began + (number - first) / per_s - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)
        made = wrap(number, body(number, time.monotonic_ns() // MICRO))
        channel.basic_publish(made.exchange, made.routing_key, made.body, made.properties)
    # An answer on the same channel: what was published before has been taken.
    channel.basic_qos(prefetch_count=1)


@frozen
class Published:
    """What publishing took, in seconds."""

    seconds: float
    cpu_s: float


class Publisher:
    """Publishes events one number after the other, wrapped as `wrap` of contenders.messages."""

    def __init__(self, amqp_url: str, wrap: str) -> None:
        self._arguments = [sys.executable, str(Path(__file__)), amqp_url, wrap]
        self.next_number = 0

    def __enter__(self) -> "Publisher":
        self._process = subprocess.Popen(
            self._arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.communicate(timeout=20)

    def begin(self, count: int, per_s: float = 0) -> None:
        """Let it publish so many, and do not wait; `end` does."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self.next_number} {count} {per_s}\n")
        self._process.stdin.flush()
        self.next_number += count

    def end(self) -> Published:
        assert self._process.stdout is not None
        return Published(*map(float, self._process.stdout.readline().split()))

    def publish(self, count: int, per_s: float = 0) -> Published:
        self.begin(count, per_s)
        return self.end()


def main(amqp_url: str, wrap: str) -> None:
    from contenders.messages import WRAPS  # imports what is measured: not for who drives this

    parameters = pika.URLParameters(amqp_url)
    parameters.heartbeat = 0
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    for line in sys.stdin:
        first, count, per_s = line.split()
        began, cpu_s = time.monotonic(), time.process_time()
        publish(channel, WRAPS[wrap], int(first), int(count), float(per_s))
        print(time.monotonic() - began, time.process_time() - cpu_s, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
