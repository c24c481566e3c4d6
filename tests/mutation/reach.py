"""Which tests run which lines: measured once, and again for test files that could have changed.

Only tests without processes are measured; those that time or count what they do are left out.
"""

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from importlib import import_module
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import coverage
from attrs import asdict, define, field, frozen

ROOT = Path(__file__).parents[2]
FOLDERS = ("webhooks", "config", "supervision", "adapters", "web", "cli", "actors")
MEASURED = "not (multiprocess or rabbitmq or couchdb or browser or faults or alone or slow)"
FEW = {"CALLBOARD_TEST_SIMULATIONS": "6"}
"""Simulated runs: of many, none would be among the tests of a change, as they take so long."""
KEPT = ROOT / ".pytest_cache" / "reach.json"

Lines = Mapping[str, Mapping[int, Iterable[int]]]


@frozen
class TestFile:
    """The tests of a file that passed: seconds of each, and which of them ran which lines.

    `touched` are the digests of the files that they ran, at that time.
    """

    digest: str
    touched: dict[str, str]
    tests: dict[str, float]
    lines: dict[str, dict[str, list[int]]]
    failed: list[str]

    def holds(self, digest: str, digests: Mapping[str, str]) -> bool:
        """Whether a new measurement would give the same."""
        unchanged = all(digests.get(path) == then for path, then in self.touched.items())
        return unchanged and self.digest == digest


@define
class Reach:
    """The tests that run each line of the product, and what these need to be imported."""

    files: dict[str, TestFile]
    modules: list[str]
    at_import: Mapping[str, frozenset[int]]
    """By file of the product: the lines that run while it is imported, also of its functions."""
    _by_file: dict[str, dict[int, list[str]]] = field(factory=dict, init=False)

    @cached_property
    def seconds(self) -> dict[str, float]:
        """How long each test took."""
        return {id: s for file in self.files.values() for id, s in file.tests.items()}

    @cached_property
    def breadth(self) -> dict[str, int]:
        """How many lines each test runs: one that runs few is about these."""
        found: dict[str, int] = defaultdict(int)
        for file in self.files.values():
            ids = list(file.tests)
            for lines in file.lines.values():
                for tests in lines.values():
                    for number in tests:
                        found[ids[number]] += 1
        return found

    def tests(self, path: str, lines: Iterable[int]) -> set[str]:
        """The tests that run any of these lines."""
        known = self._by_line(path)
        return {id for line in known.keys() & set(lines) for id in known[line]}

    def are_run(self, path: str, lines: Iterable[int]) -> bool:
        """Whether any test runs any of these lines."""
        return not self._by_line(path).keys().isdisjoint(lines)

    def _by_line(self, path: str) -> dict[int, list[str]]:
        known = self._by_file.get(path)
        if path in self.files:  # of tests: all of them
            known = self._by_file[path] = {1: list(self.files[path].tests)}
        if known is None:
            known = self._by_file[path] = defaultdict(list)
            for file in self.files.values():
                ids = list(file.tests)
                for line, tests in file.lines.get(path, {}).items():
                    known[int(line)] += [ids[number] for number in tests]
        return known


def measured() -> Reach:
    """What is kept, with what had to be measured again."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"files": {}, "modules": []}
    files = {path: TestFile(**values) for path, values in kept["files"].items()}
    digests = {
        str(path.relative_to(ROOT)): _digest(path)
        for path in (*ROOT.glob("*.py"), *files_below(*FOLDERS, "tests"))
    }
    now = {
        path: _digest_of(*(digests[used] for used in sorted(_used(path))))
        for path in digests
        if Path(path).name.startswith("test_") and not path.startswith(UNUSED)
    }
    files = {path: file for path, file in sorted(files.items()) if path in now}
    stale = [p for p in now if p not in files or not files[p].holds(now[p], digests)]
    modules = dict.fromkeys(kept["modules"])
    if stale:
        print(f"measuring which lines the tests of {len(stale)} files run ...", flush=True)
    # Each folder's result is kept at once, so that an interrupted measurement can go on.
    for _folder, those in groupby(sorted(stale), lambda path: path.split("/")[:2]):
        paths = list(those)
        parts = _measure(paths)
        modules |= dict.fromkeys(name for part in parts for name in part["modules"])
        for path in paths:
            found = [part["files"][path] for part in parts if path in part["files"]]
            files[path] = _whole(now[path], digests, found)
        _keep(files, modules)
    # In a process of its own: trials are to import the product themselves.
    with get_context("fork").Pool(1) as process:
        return Reach(files, [*modules], process.apply(_run_at_import))


def _run_at_import() -> dict[str, frozenset[int]]:
    measuring = coverage.Coverage(data_file=None, source=[str(ROOT / f) for f in FOLDERS])
    measuring.start()
    for path in files_below(*FOLDERS):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] != "__main__":
            import_module(".".join(("callboard", *parts)).removesuffix(".__init__"))
    measuring.stop()
    data = measuring.get_data()
    return {
        str(Path(path).relative_to(ROOT)): frozenset(data.lines(path) or ())
        for path in data.measured_files()
    }


def _keep(files: Mapping[str, TestFile], modules: Iterable[str]) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    written = {path: asdict(file) for path, file in files.items()}
    KEPT.write_text(json.dumps({"files": written, "modules": [*modules]}))


def _whole(digest: str, digests: Mapping[str, str], parts: Iterable[Any]) -> TestFile:
    """The measurements of a file, of which each worker has run some tests."""
    tests: dict[str, float] = {}
    lines: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    failed: list[str] = []
    for part in parts:
        for name, by_line in part["lines"].items():
            for line, numbers in by_line.items():
                lines[name][line] += [len(tests) + number for number in numbers]
        tests |= part["tests"]
        failed += part["failed"]
    return TestFile(digest, {name: digests[name] for name in lines}, tests, lines, failed)


def files_below(*folders: str) -> Iterator[Path]:
    """The Python files of these folders of the project."""
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


UNUSED = (
    *(
        f"tests/{name}/"
        for name in ("e2e", "faults", "performance", "browser", "mutation", "bench")
    ),
    *(f"tests/test_{name}.py" for name in ("packaging", "prose", "rooms", "docs", "tutorial")),
)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _digest_of(*parts: str) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def _used(path: str) -> set[str]:
    """The file of tests, and those of tests/ that it imports or that set it up."""
    found: set[str] = set()
    waiting = [path, *(f"{p}/conftest.py" for p in Path(path).parents if str(p) != ".")]
    while waiting:
        path = waiting.pop()
        if path not in found and (ROOT / path).exists():
            found.add(path)
            waiting += _imported(path)
    return found


@cache
def _imported(path: str) -> list[str]:
    """The files below tests/ that one of them imports, or names as a plugin."""
    names: list[str] = []
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        match node:
            case ast.Import(aliases):
                names += [alias.name for alias in aliases]
            case ast.ImportFrom(str(module), aliases, 0):
                names += [module, *(f"{module}.{alias.name}" for alias in aliases)]
            case ast.Constant(str(text)) if path.endswith("conftest.py"):
                names.append(text)
    stems = ["tests/" + name.replace(".", "/") for name in names if " " not in name]
    return [file for stem in stems for file in (f"{stem}.py", f"{stem}/__init__.py")]


def _measure(files: list[str]) -> list[Any]:
    folder = KEPT.parent / "reach"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    command = [
        *(sys.executable, "-m", "pytest", "-p", "mutation.recording", "-p", "no:cacheprovider"),
        *("-m", MEASURED, "--hypothesis-seed=0", "--reach", folder, "--no-header", "-q"),
        *("--numprocesses", "2", "--dist", "loadgroup", "--timeout", "120"),
        *files,
    ]
    run = subprocess.run(
        command, cwd=ROOT, text=True, capture_output=True, env=environment(), check=False
    )
    # With workers that collect different tests, none runs, and the status is that of failed tests.
    if run.returncode not in (0, 1, 5) or "\nERROR gw" in run.stdout:
        raise SystemExit(run.stdout[-5000:] + run.stderr[-2000:])
    failed = [line for line in run.stdout.splitlines() if line.startswith("FAILED")]
    print(*failed, run.stdout.splitlines()[-1], sep="\n", flush=True)
    return [json.loads(path.read_text()) for path in folder.glob("*.json")]


def environment() -> dict[str, str]:
    """The environment of the tests, in which this package can be imported."""
    return os.environ | FEW | {"PYTHONPATH": str(ROOT / "tests"), "PYTHONHASHSEED": "0"}


@cache
def importers(root: Path = ROOT) -> dict[str, set[str]]:
    """By file of the product: the files, of product and tests, that import it."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in (*FOLDERS, "tests"):
        for path in (root / folder).rglob("*.py"):
            own = str(path.relative_to(root))
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
                for name in names:
                    stem = root.joinpath(*name.split(".")[1:])
                    for file in (stem.with_suffix(".py"), stem / "__init__.py"):
                        if name.startswith("callboard.") and file.exists():
                            found[str(file.relative_to(root))].add(own)
    return found
