"""The pytest plugin that records which lines each test runs (`--reach`, a folder for the result).

What sets up a fixture of several tests counts for every test of the file.
"""

import json
import os
import sys
import sysconfig
from collections import defaultdict
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parents[2]
RECORD = pytest.StashKey["Record"]()


def pytest_addoption(parser):
    parser.addoption("--reach")


def pytest_configure(config):
    # With workers, only these run tests; `workerinput` is what makes a process one of them.
    if config.getoption("numprocesses", None) is None or hasattr(config, "workerinput"):
        config.pluginmanager.register(Record(Path(config.getoption("--reach"))))


class Record:
    def __init__(self, folder):
        self._folder = folder
        self._coverage = coverage.Coverage(
            data_file=None,
            source=[str(ROOT)],
            omit=["*/tests/*", "*/bench/*", "*/docs/*", "*/.venv/*"],
        )
        self._tests = defaultdict(dict)
        self._failed = defaultdict(set)
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self._coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._coverage.switch_context("")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef, request):
        if fixturedef.scope == "function":
            return (yield)
        self._coverage.switch_context(
            f"{_file(request.node.nodeid)}::" if request.node.nodeid else ""
        )
        try:
            return (yield)
        finally:
            self._coverage.switch_context(request._pyfuncitem.nodeid)

    def pytest_runtest_logreport(self, report):
        id, file = report.nodeid, _file(report.nodeid)
        self._tests[file][id] = self._tests[file].get(id, 0.0) + report.duration
        if not report.passed:  # skipped ones show nothing either
            self._failed[file].add(id)

    def pytest_sessionfinish(self):
        self._coverage.stop()
        (self._folder / f"{os.getpid()}.json").write_text(
            json.dumps({"files": self._files(), "modules": _modules()})
        )

    def _files(self):
        found = {
            path: {
                "tests": {i: round(s, 4) for i, s in tests.items() if i not in self._failed[path]},
                "lines": defaultdict(lambda: defaultdict(list)),
                "failed": sorted(self._failed[path]),
            }
            for path, tests in self._tests.items()
        }
        numbers = {id: number for file in found.values() for number, id in enumerate(file["tests"])}
        data = self._coverage.get_data()
        for product in data.measured_files():
            name = str(Path(product).relative_to(ROOT))
            for line, contexts in data.contexts_by_lineno(product).items():
                for context in contexts:
                    file = found.get(_file(context))
                    if file is None:
                        continue
                    if context in numbers:
                        file["lines"][name][line].append(numbers[context])
                    elif context.endswith("::"):
                        file["lines"][name][line] += range(len(file["tests"]))
        return found


def _file(nodeid):
    return nodeid.partition("::")[0]


def _modules():
    """The modules of others, in the order of their imports, to be imported once for many runs."""
    places = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
    return [
        name
        for name, module in list(sys.modules.items())
        if (getattr(module, "__file__", None) or "").startswith(places)
        and name == getattr(getattr(module, "__spec__", None), "name", None)
        and not name.startswith(("coverage", "xdist", "execnet", "pytest_cov", "__"))
    ]
