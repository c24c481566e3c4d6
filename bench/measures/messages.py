"""Messages between two actors of one machine: how many a second, and what each costs."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from itertools import product
from pathlib import Path

from report import Figure, Section
from surroundings import Bench

from measures.rates import BEFORE
from services import free_port

COUNT = 10_000
SIZES = 200, 50_000
WINDOWS = 1, 100
SPEED, COST = "messages/s", "µs CPU/message"

TEXT = f"""\
Two actors of one actor system, on Thespian's multiprocTCPBase as it is, and as Callboard's actors
use it: with its patches and sealed. One at a time: each message waits for the response to the one
before; else up to {WINDOWS[1]} are under way. The processor time is that of both actors; a tenth of
the messages is sent before it is counted. {BEFORE} names the Python of an earlier version."""


def run(bench: Bench) -> Section:
    contenders = {
        "Thespian": (sys.executable, "thespian"),
        "Callboard": (sys.executable, "callboard"),
    }
    if before := os.environ.get(BEFORE):
        contenders["Callboard before"] = (before, "callboard")
    speeds: defaultdict[str, list[float]] = defaultdict(list)
    costs: defaultdict[str, list[float]] = defaultdict(list)
    for _run in range(bench.runs):
        for size, window, (name, how) in product(SIZES, WINDOWS, contenders.items()):
            shown = f"{name}, {size:,} bytes, {'one at a time' if window == 1 else window}"
            took = _measured(*how, bench.size(COUNT), size, window)
            speeds[shown].append(took["messages"] / took["took_s"])
            costs[shown].append(took["cpu_s"] / took["messages"] * 1e6)
    figures = [
        *(
            Figure(name, SPEED, values, at_least=_goal(name, 10_000))
            for name, values in speeds.items()
        ),
        *(Figure(name, COST, values, at_most=_goal(name, 60)) for name, values in costs.items()),
    ]
    return Section("Messages between two actors", figures, TEXT)


def _goal(name: str, goal: float) -> float | None:
    return goal if name.startswith("Callboard,") else None


def _measured(python: str, transport: str, *numbers: int) -> dict[str, float]:
    script = Path(__file__).parents[1] / "two_actors.py"
    command = [python, script, transport, *map(str, (free_port(), *numbers))]
    measured: dict[str, float] = json.loads(subprocess.check_output(command))
    return measured
