"""See `make mutants` in CONTRIBUTING.md."""

import argparse
import contextlib
import os
import random
import re
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from mutation import trial as trials
from mutation.changes import Change, changes
from mutation.reach import FEW, FOLDERS, ROOT, Reach, importers, measured

EQUIVALENT = ROOT / "tests" / "data" / "equivalent_mutants.toml"
HOLES = ROOT / "tests" / "data" / "known_holes.toml"
SHOWN = 300
"""Characters of a statement that are printed: a table is one statement."""
GOALS = {
    **dict.fromkeys(("webhooks", "config", "supervision"), 97),
    **dict.fromkeys(("adapters", "web", "cli"), 92),
    "actors": 85,
}
"""Percent of the mutants of a folder that the tests are to kill."""
ENOUGH = 20
"""Fewer mutants of a folder do not tell whether it is below its goal."""
TESTS_S = 16.0
"""Seconds of tests for one mutant, at most: those come first that run the fewest other lines."""
CHEAP_S = 0.3
"""Those that take longer come last, as most changes are found without them."""
CONTROLLED = 25
"""One of so many is also run without its change."""
HELD = {
    "adapters": (
        "tests/adapters/test_http_policy.py::"
        "test_ports_of_other_protocols_are_not_called_and_those_of_web_servers_are",
    ),
    "web": (
        "tests/web/test_openapi.py::test_the_document_is_as_it_was",
        "tests/web/test_events.py::test_samples_are_shown_as_developers_know_them",
        "tests/web/test_dashboard_files.py::test_the_page_is_open_and_allowed_only_its_own_files",
    ),
    "cli": ("tests/cli/test_commands.py::test_the_commands_are_as_they_were",),
}
"""By folder: the tests that compare what its files declare, at their import, with what is
written out in the tests. Coverage does not show it, as they run no line of these."""
NOT_DETECTED = (trials.SURVIVED, trials.DOUBTFUL)


def main() -> int:
    arguments = _arguments()
    reach = measured()
    equivalent = {
        identity_of(entry) for entry in tomllib.loads(EQUIVALENT.read_text()).get("mutant", ())
    }
    chosen = _chosen(arguments, reach)
    planned = [_trial(change, reach) for change in chosen if change.identity not in equivalent]
    # Some run as they are: tests that fail on this machine would pass for tests that notice.
    planned += [evolve(trial, change=None) for trial in planned[::CONTROLLED]]
    os.environ.update(FEW)
    trials.ready(reach.modules)
    began = time.monotonic()
    counts: Counter[tuple[str, str]] = Counter()
    unsound = False
    doubtful: set[trials.Trial] = set()
    with contextlib.suppress(KeyboardInterrupt):  # the report of what was done until then
        for done, (trial, result) in enumerate(trials.results(planned, arguments.workers), 1):
            if trial.change is None:
                unsound |= result != trials.SURVIVED
                if result == trials.TIMED_OUT:
                    print(f"out of time without a change: {', '.join(trial.tests)}")
                continue
            folder = trial.change.path.split("/")[0]
            if trial in doubtful:
                counts[folder, trials.DOUBTFUL] -= 1
            if result == trials.DOUBTFUL:
                doubtful.add(trial)
            counts[folder, result] += 1
            if result in NOT_DETECTED:
                print(_shown(trial.change, len(trial.tests), result), flush=True)
            if done % 50 == 0:
                print(f"  {done} of {len(planned)}, {time.monotonic() - began:.0f} s", flush=True)
    left_out = len(chosen) - sum(counts.values())
    took_s = time.monotonic() - began
    print(f"\nseed {arguments.seed}; {left_out} known to be equivalent left out; {took_s:.0f} s")
    below = _report(counts)
    if arguments.holes and any(counts[f, r] for f, r in counts if r in NOT_DETECTED):
        below = True
        print("a known hole is open again")
    if unsound:
        print("unsound: some of these tests fail without a change")
    return int(below or unsound)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--sample", type=int, help="so many, by chance; otherwise all")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--within", nargs="*", default=FOLDERS, help="folders or files")
    parser.add_argument("--since", help="only lines that changed since this commit")
    parser.add_argument("--holes", action="store_true", help="the places of known_holes.toml")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def _chosen(arguments: argparse.Namespace, reach: Reach) -> list[Change]:
    paths = sorted(
        str(path.relative_to(ROOT))
        for within in arguments.within
        for path in ([ROOT / within] if within.endswith(".py") else (ROOT / within).rglob("*.py"))
    )
    holes = tomllib.loads(HOLES.read_text())["hole"] if arguments.holes else []
    if holes:
        paths = sorted({hole["file"] for hole in holes} & set(paths))
    if arguments.since:
        changed = _changed(arguments.since)
        paths = [path for path in paths if path in changed]
    found = [change for path in paths for change in changes(ROOT, path)]
    if arguments.since:
        found = [c for c in found if changed[c.path] & set(c.lines)]
    if holes:
        found = [c for c in found if any(is_in(hole, c) for hole in holes)]
    reached = [c for c in found if _is_reached(c, reach)]
    print(f"{len(found)} mutants, {len(reached)} of them on lines that tests run")
    if arguments.sample is None or arguments.sample >= len(reached):
        return reached
    return random.Random(arguments.seed).sample(reached, arguments.sample)


def is_in(hole: dict[str, Any], change: Change) -> bool:
    """Whether a change is to a place of known_holes.toml."""
    if change.path != hole["file"]:
        return False
    assigned = re.match(r"\w+(?= =|: )", change.statement)
    names = {change.scope.name, assigned[0] if assigned and not change.scope.name else ""}
    return not names.isdisjoint(hole["in"]) if "in" in hole else True


def _changed(since: str) -> dict[str, set[int]]:
    """By file: the lines that are not as they were in that commit."""
    diff = subprocess.run(
        ["git", "diff", "--unified=0", since, "--", *FOLDERS],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    found: dict[str, set[int]] = {}
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            lines = found.setdefault(line[6:], set())
        elif match := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            lines |= set(range(int(match[1]), int(match[1]) + int(match[2] or 1)))
    return found


EVERY_LINE = range(1, 10_000)


def _places(change: Change, reach: Reach) -> list[tuple[str, range]]:
    """Lines by file: a test that runs any of them may notice the change; the nearest come first.

    Those of the change; for what runs at the import, those of its class or its file that use it,
    the files of tests that import it, and the other files that do: a route's description is seen
    only where the application is put together. Functions that make such descriptions run at the
    import, too.
    """
    if not _is_at_import(change, reach):
        return [(change.path, change.lines)]
    own = change.path, change.lines if change.scope.function else change.scope.lines
    if change.scope.header and reach.at_import.get(change.path, frozenset()).isdisjoint(own[1]):
        return [own]
    users = {user for path in (change.path, *_exporters(change.path)) for user in importers()[path]}
    ordered = sorted(users, key=lambda user: (not user.startswith("tests/"), user))
    return [own, *((user, EVERY_LINE) for user in ordered)]


def _is_at_import(change: Change, reach: Reach) -> bool:
    return not (
        change.scope.function
        and reach.at_import.get(change.path, frozenset()).isdisjoint(change.lines)
    )


def _is_reached(change: Change, reach: Reach) -> bool:
    held = change.path.split("/")[0] in HELD and _is_at_import(change, reach)
    return held or any(reach.are_run(*place) for place in _places(change, reach))


def _exporters(path: str) -> set[str]:
    """The `__init__.py` that offer what is in a file to others."""
    return {user for user in importers()[path] if user.endswith("__init__.py")}


def _trial(change: Change, reach: Reach) -> trials.Trial:
    own, *others = _places(change, reach)
    near = reach.tests(*own)
    tests = near.union(*(reach.tests(*place) for place in others))
    # Tests are named after a file, or a folder, or both: test_access.py is about web/access/,
    # test_hook_listener.py about actors/hooks/listener.py, test_embedded_store.py about
    # adapters/store/embedded.py, and test_embedded_broker.py about adapters/broker/embedded/.
    path = Path(change.path)
    stem, parent, above = path.stem, path.parent.name, path.parent.parent.name
    joined = (f"{parent.removesuffix('s')}_{stem}", f"{stem}_{parent}", f"{parent}_{above}")
    about_it = (stem, f"{stem}_alone", parent, *joined)
    names = {f"/test_{name}.py" for name in about_it}
    named = {id for id in tests if id.partition("::")[0].endswith(tuple(names))}
    rank = {id: (id not in named, reach.breadth[id], id) for id in tests}
    # The first of each file, then the second of each: different files are about different things.
    files: Counter[str] = Counter()
    turns: dict[str, int] = {}
    for id in sorted(tests, key=rank.__getitem__):
        file = id.partition("::")[0]
        turns[id] = files[file]
        files[file] += 1
    ids = sorted(tests, key=lambda id: (turns[id] > 0 and id not in near, turns[id], rank[id]))
    # The cheapest ones get most of the time: hundreds of them cost less than one of the others.
    cheapest = sorted(tests, key=lambda id: (id not in named, reach.seconds[id], id))
    about = [id for id in cheapest if id in near or id in named]
    held = HELD.get(path.parts[0], ()) if _is_at_import(change, reach) else ()
    chosen = dict.fromkeys(id for id in held if id in reach.seconds)
    seconds = sum(reach.seconds[id] for id in chosen)
    phases = ((about, TESTS_S / 2), (cheapest, TESTS_S * 3 / 4), (ids, TESTS_S))
    for candidates, most_s in phases:
        for id in candidates:
            if id not in chosen and (not chosen or seconds + reach.seconds[id] <= most_s):
                chosen[id] = None
                seconds += reach.seconds[id]
    order = [id for id in dict.fromkeys((*held, *ids)) if id in chosen]
    cheap, dear = (
        _by_file([id for id in order if (reach.seconds[id] > CHEAP_S) is late])
        for late in (False, True)
    )
    return trials.Trial(change, [*cheap, *dear], seconds)


def _by_file(ids: Sequence[str]) -> list[str]:
    """The tests of a file in a row, so that their fixtures are set up once."""
    files = {file: n for n, file in enumerate(dict.fromkeys(id.partition("::")[0] for id in ids))}
    return sorted(ids, key=lambda id: files[id.partition("::")[0]])


def _shown(change: Change, tests: int, result: str) -> str:
    where = f" in {change.scope.name}" if change.scope.name else ""
    statement = change.statement
    if len(statement) > SHOWN:
        statement = f"{statement[:SHOWN]}..."
    return (
        f"{change.path}:{change.lines.start}{where}, {tests} tests, {result}\n"
        f"    {statement}\n    {change.old}  ->  {change.new}"
    )


def identity_of(entry: dict[str, str]) -> tuple[str, str, str, str]:
    return entry["file"], entry["in"], entry["statement"], entry["change"]


def _report(counts: Counter[tuple[str, str]]) -> bool:
    below = False
    print(
        f"{'folder':12} {'killed':>7} {'timed out':>10} {'survived':>9} {'percent':>8} {'goal':>5}"
    )
    for folder in [*FOLDERS, "all"]:
        killed, timed_out, survived = (
            sum(n for (f, result), n in counts.items() if result == wanted and folder in (f, "all"))
            for wanted in (trials.KILLED, trials.TIMED_OUT, trials.SURVIVED)
        )
        survived += sum(
            n for (f, r), n in counts.items() if r == trials.DOUBTFUL and folder in (f, "all")
        )
        tried = killed + timed_out + survived
        if tried:
            percent = 100 * (killed + timed_out) / tried
            goal = GOALS.get(folder, 0)
            below |= tried >= ENOUGH and percent < goal
            print(
                f"{folder:12} {killed:7} {timed_out:10} {survived:9} {percent:8.1f} {goal or '':>5}"
            )
    return below


if __name__ == "__main__":
    sys.exit(main())
