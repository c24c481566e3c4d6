"""How long `callboard apply` takes for many hooks, and how many the API stores one by one.

    python bench/applying.py [--hooks 100000] [--accounts 10000] [--puts 2000] [--runs 3]

Each run has a new system, with --couchdb on a pouchdb-server in memory (`make services`). --python:
that of another installation, to measure another version.

apply     from the command to its end, for a file of new hooks, without a question
again     the same file once more: nothing differs
put       PUTs of one hook each over 64 connections, of as many accounts, a second, and how long
          each takes; at the response the hook is stored and in effect on the node
"""

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

from loading import couchdb_server
from system_under_test import SystemUnderTest, print_setting, print_spread

from services import free_port

CONNECTIONS = 64
TOKEN = "token-of-the-benchmark"


def write_file(path: Path, hooks: int, accounts: int) -> None:
    with path.open("w") as file:
        for number in range(hooks):
            file.write(
                f'[[hooks]]\naccount = "{number % accounts:032x}"\nname = "hook {number}"\n'
                f'uri = "https://hooks.example.com/{number}"\nhook = "event"\n\n'
            )


def apply(system: SystemUnderTest, file: Path) -> float:
    began = time.monotonic()
    command = system.command("apply", str(file), "--yes")
    subprocess.run(command, env=system.environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def put(port: int, puts: int) -> tuple[float, list[float]]:
    """PUTs a second, and the seconds of each."""
    took: list[float] = []
    each = -(-puts // CONNECTIONS)

    def client(account: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        path = f"/v2/accounts/{account:030x}ff/webhooks"
        for number in range(each):
            hook = {"name": f"put {number}", "uri": "https://hooks.example.com/", "hook": "event"}
            began = time.monotonic()
            connection.request(
                "PUT", path, json.dumps({"data": hook}), headers={"X-Auth-Token": TOKEN}
            )
            response = connection.getresponse()
            body = response.read()
            assert response.status == 201, body
            took.append(time.monotonic() - began)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CONNECTIONS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(took) / (time.monotonic() - began), sorted(took)


@contextlib.contextmanager
def system_with(couchdb: bool, python: str) -> Iterator[tuple[SystemUnderTest, int]]:
    """A system, and the port of its API."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = {"couchdb__url": stack.enter_context(couchdb_server(folder))} if couchdb else {}
        system = SystemUnderTest(
            python=python,
            api__enabled="true",
            api__port=str(port),
            api__events="true",
            api__admin_token=TOKEN,
            kazoo__modules="",
            quotas__requests="1000",
            **store,
        )
        stack.enter_context(system)
        while not answers(port):
            time.sleep(0.1)
        yield system, port


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hooks", type=int, default=100_000)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--puts", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--couchdb", action="store_true")
    parser.add_argument("--python", default=sys.executable)
    chosen = parser.parse_args()
    print_setting()
    found: dict[str, list[float]] = {}
    for _run in range(chosen.runs):
        with (
            tempfile.TemporaryDirectory() as name,
            system_with(chosen.couchdb, chosen.python) as (system, port),
        ):
            figures = {}
            if chosen.hooks:
                file = Path(name) / "hooks.toml"
                write_file(file, chosen.hooks, chosen.accounts)
                figures["apply, s"] = apply(system, file)
                figures["again, s"] = apply(system, file)
            if chosen.puts:
                rate, took = put(port, chosen.puts)
                figures["put, hooks/s"] = rate
                figures["put, p50 ms"] = took[len(took) // 2] * 1000
                figures["put, p99 ms"] = took[len(took) * 99 // 100] * 1000
            for figure, value in figures.items():
                found.setdefault(figure, []).append(value)
    for figure, values in found.items():
        print_spread(figure, values)


if __name__ == "__main__":
    main()
