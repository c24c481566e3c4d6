"""Which tests run which lines: measured once, and again for files of tests that changed.

Where the product changed, lines keep their tests, and new ones get those of the lines before them.
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
from difflib import SequenceMatcher
from functools import cache, cached_property
from importlib import import_module
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import coverage
from attrs import asdict, define, evolve, field, frozen

ROOT = Path(__file__).parents[2]
FOLDERS = ("webhooks", "config", "supervision", "adapters", "web", "cli", "actors")
MEASURED = "not (multiprocess or rabbitmq or couchdb or browser or faults or alone or slow)"
FEW = {"CALLBOARD_TEST_SIMULATIONS": "6"}
"""Simulated runs: of many, none would be among the tests of a change, as they take so long."""
KEPT = ROOT / ".pytest_cache" / "reach.json"

Lines = Mapping[str, Mapping[int, Iterable[int]]]


@frozen
class Measurement:
    """The tests of a file that passed: seconds of each, and which of them ran which lines.

    `touched` are the digests of the files that they ran, at that time.
    """

    digest: str
    touched: dict[str, str]
    tests: dict[str, float]
    lines: dict[str, dict[str, list[int]]]
    failed: list[str]

    def changed(self, digests: Mapping[str, str]) -> set[str]:
        """The files that its tests ran, and that are not as they were."""
        return {path for path, then in self.touched.items() if digests.get(path) != then}

    def moved(self, digests: Mapping[str, str], sources: Mapping[str, str]) -> "Measurement":
        """The same with the lines of the files as they are now."""
        lines = dict(self.lines)
        for path in self.changed(digests):
            origins = _origins(sources[self.touched[path]], (ROOT / path).read_text())
            old = {int(line): tests for line, tests in self.lines[path].items()}
            lines[path] = {
                str(line): sorted({n for origin in those for n in old.get(origin, ())})
                for line, those in origins.items()
            }
        return evolve(self, lines=lines, touched={path: digests[path] for path in self.touched})


@define
class Reach:
    """The tests that run each line of the product, and what these need to be imported."""

    files: dict[str, Measurement]
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
    kept: dict[str, Any] = {"files": {}, "modules": [], "sources": {}, "paths": []}
    if KEPT.exists():
        kept |= json.loads(KEPT.read_text())
    files = {path: Measurement(**values) for path, values in kept["files"].items()}
    digests = {_name(path): _digest(path) for path in (*_product(), *files_below("tests"))}
    now = {
        path: _digest_of(*(digests[used] for used in sorted(_used(path))))
        for path in digests
        if Path(path).name.startswith("test_") and not path.startswith(UNUSED)
    }
    files = {path: file for path, file in sorted(files.items()) if path in now}
    sources = kept["sources"]
    # Which tests run a new file, those of its importers are to show.
    new = set(map(_name, _product())) - {*kept["paths"]}
    importing = set().union(*(importers()[path] for path in new))
    stale = []
    for path in now:
        file = files.get(path)
        changed = file.changed(digests) if file else set()
        known = all(p in digests and file.touched[p] in sources for p in changed) if file else False
        if not known or file.digest != now[path] or changed & importing:
            stale.append(path)
        elif changed:
            files[path] = file.moved(digests, sources)
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
        _keep(files, modules, sources, kept["paths"])
    if stale:
        _keep(files, modules, sources, map(_name, _product()))
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
    return {_name(Path(path)): frozenset(data.lines(path) or ()) for path in data.measured_files()}


def _keep(
    files: Mapping[str, Measurement],
    modules: Iterable[str],
    sources: Mapping[str, str],
    paths: Iterable[str],
) -> None:
    """Write the file, with the sources that the lines are of."""
    texts = {_digest(path): path.read_text() for path in _product()} | {**sources}
    used = {digest for file in files.values() for digest in file.touched.values()}
    content = {
        "files": {path: asdict(file) for path, file in files.items()},
        "modules": [*modules],
        "sources": {digest: text for digest, text in texts.items() if digest in used},
        "paths": [*paths],
    }
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(content))


@cache
def _origins(old: str, new: str) -> dict[int, range]:
    """By line of the new text: the lines of the old one that it stands for."""
    found: dict[int, range] = {}
    matcher = SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    for tag, first, last, begin, end in matcher.get_opcodes():
        for line in range(begin, end):
            if tag == "equal":
                found[line + 1] = range(first + line - begin + 1, first + line - begin + 2)
            else:  # lines that replace others, or are new after one
                found[line + 1] = (
                    range(first + 1, last + 1) if last > first else range(first, first + 1)
                )
    return found


def _whole(digest: str, digests: Mapping[str, str], parts: Iterable[Any]) -> Measurement:
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
    return Measurement(digest, {name: digests[name] for name in lines}, tests, lines, failed)


def _product() -> Iterator[Path]:
    yield from ROOT.glob("*.py")
    yield from files_below(*FOLDERS)


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


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


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
