"""Endpoints with various behaviours, in a process of their own, to save the test's time.

    PYTHONPATH=tests python -m support.endpoints RECORD ok refuse hang flaky drip …

`any` behaves as the first part of a request's path says. Prints their urls as one JSON list, and
writes a line for each request: its path, the `call_id` of its body, the status of the response (or
the behaviour), and the time (seconds of the monotonic clock, which all processes of a machine
share). The process ends when standard input closes.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from callboard.adapters.receiver.server import Answer, Close, Drip, Hang
from services import free_port
from support.patience import patient
from support.receiver import Receiver

MANNERS = {
    "ok": lambda: Answer(),
    "hang": lambda: Hang(),
    "close": lambda: Close(),
    "flaky": lambda: Answer(random.choice((200, 500))),
    "drip": lambda: Drip(),
}


def serve(record, manner):
    """Start an endpoint; one that refuses has no listener on its port."""
    if manner == "refuse":
        return f"http://127.0.0.1:{free_port()}"

    def answer(request):
        chosen = request.path.split("/")[1] if manner == "any" else manner
        behaviour = MANNERS.get(chosen, Answer)()
        outcome = behaviour.status if isinstance(behaviour, Answer) else chosen
        call_id = json.loads(request.body)["call_id"]
        os.write(record, f"{request.path} {call_id} {outcome} {time.monotonic():.3f}\n".encode())
        return behaviour

    endpoint = Receiver(keep=1).start()
    endpoint.answer("/", answer)
    return endpoint.url


def main() -> None:
    path, *manners = sys.argv[1:]
    record = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    print(json.dumps([serve(record, manner) for manner in manners]), flush=True)
    sys.stdin.read()


@frozen
class Arrival:
    """A request; `outcome`: the status of the response, or the behaviour of its endpoint.

    `at_s`: the time, on the monotonic clock.
    """

    path: str
    call_id: str
    outcome: str
    at_s: float


class Endpoints:
    """A process with endpoints; a context manager."""

    def __init__(self, record: Path, manners) -> None:
        self._record = record
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.endpoints", str(record), *manners],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.urls = json.loads(self._process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_exc) -> None:
        self._process.communicate("", timeout=patient(20))

    def arrivals(self) -> Iterator[Arrival]:
        """Every request until now."""
        for line in self._record.read_text().splitlines():
            path, call_id, outcome, at_s = line.split(" ")
            yield Arrival(path, call_id, outcome, float(at_s))


if __name__ == "__main__":
    main()
