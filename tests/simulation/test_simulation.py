"""Simulated runs of a node, each with its own faults: nothing is lost and nothing is left over.

CALLBOARD_TEST_SIMULATIONS: how many runs, by default 90; CALLBOARD_TEST_FIRST_SEED: the first of
them. A failure names its seed, and `CALLBOARD_TEST_SEED=123 python -m pytest -s tests/simulation`
repeats that run alone and prints each message of it.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from callboard.actors.delivery.deliverer import Deliverer
from simulation.plants import PLANTS
from simulation.system import Simulation
from support.patience import patient

RUNS = int(os.environ.get("CALLBOARD_TEST_SIMULATIONS", "90"))
FIRST = int(os.environ.get("CALLBOARD_TEST_FIRST_SEED", "0"))
SEED = os.environ.get("CALLBOARD_TEST_SEED")
PARTS = 3
"""So that several processes share the runs."""

only_all = pytest.mark.skipif(SEED is not None, reason="CALLBOARD_TEST_SEED repeats one run")


def report(seed, violations):
    replay = f"CALLBOARD_TEST_SEED={seed} {Path(sys.executable).name} -m pytest -s tests/simulation"
    return "\n  ".join([f"seed {seed} (again: {replay})", *violations])


def printed(world, living, message):
    path = getattr(living.actor, "path", "")
    print(f"{world.now - 1000:10.4f} s  {path or '(top)':28} {message!s:.200}")


@only_all
@pytest.mark.timeout(120 + RUNS)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_run_loses_an_event_or_leaves_one_behind(part):
    found = {}
    for seed in range(FIRST + part, FIRST + RUNS, PARTS):
        if violations := Simulation(seed).run():
            found[seed] = violations
            print(report(seed, violations), file=sys.stderr)
    assert not found, "\n".join(report(seed, found[seed]) for seed in list(found)[:5])


class Accounting(Deliverer):
    """Looks after each message whether it has lost track of a delivery; `sound`: how often not."""

    sound, lost = 0, 0

    def receiveMessage(self, message, sender):
        watches = super().receiveMessage(message, sender)
        if self.incarnation:
            if self._has_lost_jobs():
                Accounting.lost += 1
            elif len(self._jobs):
                Accounting.sound += 1
        return watches


class Losing(Accounting):
    """Forgets a delivery that it is to add after a pause."""

    def _end_pause(self, job):
        super()._end_pause(job)
        self._add = lambda job: None


@only_all
@pytest.mark.parametrize("deliverer", [Accounting, Losing])
def test_a_deliverer_knows_what_each_delivery_waits_for(deliverer, monkeypatch):
    """Readiness says that a deliverer stands still if it does not: never by mistake."""
    monkeypatch.setattr(Accounting, "sound", 0)
    monkeypatch.setattr(Accounting, "lost", 0)
    for seed in range(FIRST, FIRST + max(20, RUNS // 10)):
        Simulation(seed, {Deliverer: deliverer}).run()
        if deliverer is Losing and Accounting.lost:
            return
    assert Accounting.sound > 1000
    assert (deliverer, Accounting.lost) == (Accounting, 0)


@pytest.mark.skipif(SEED is None, reason="CALLBOARD_TEST_SEED names the run to repeat")
def test_one_run_again():
    violations = Simulation(int(SEED or 0), journal=printed).run()
    assert not violations, report(SEED, violations)


FOUND_LATE = {"a batch that arrives twice counts twice": 130}
"""Where to begin the search for a fault that is first found far from 0, for the sake of time."""


@only_all
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", PLANTS)
def test_a_planted_fault_is_found(fault):
    with PLANTS[fault]() as classes:
        seeds = range(FOUND_LATE.get(fault, 0), 1000)
        assert any(Simulation(seed, classes).run() for seed in seeds)


def digest(seed):
    """A digest of all that happens in a run."""
    seen = hashlib.sha256()

    def note(world, living, message):
        path = getattr(living.actor, "path", "")
        seen.update(f"{world.now:.6f} {path} {type(message).__name__}\n".encode())

    Simulation(seed, journal=note).run()
    return seen.hexdigest()


@only_all
def test_a_seed_determines_a_run_in_every_process():
    script = "from simulation.test_simulation import digest; print([digest(s) for s in range(12)])"
    # Sets of strings have another order in another process.
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "1",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    other = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=patient(60),
    )
    assert other.stdout.strip() == str([digest(seed) for seed in range(12)])
