"""Which tests of a run on several workers stay together."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from support.patience import patient

MARKS = ("alone", "multiprocess", "rabbitmq", "couchdb", "browser")
TESTS = """
import os
from pathlib import Path

import pytest

@pytest.fixture(scope="module")
def system():
    with Path(os.environ["STARTED"]).open("a") as started:
        started.write("started\\n")

@pytest.mark.parametrize("number", range(12))
def test_it(number, system):
    pass

@pytest.mark.multiprocess
@pytest.mark.parametrize("number", range(12))
def test_by_itself(number, tmp_path):
    with Path(os.environ["STARTED"]).open("a") as started:
        started.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


@pytest.mark.slow
def test_a_fixture_of_a_module_is_made_on_one_worker_and_others_are_spread(tmp_path):
    (tmp_path / "test_them.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n" + "\n".join(f"  {name}" for name in MARKS)
    )
    started = tmp_path / "started"
    plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(Path(__file__).parent)}
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    workers = ("--numprocesses", "3", "--dist", "loadgroup", "--no-loadscope-reorder")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "support.parallel", *workers],
        cwd=tmp_path,
        env=outside | plugins | {"STARTED": str(started)},
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(60),
    )
    assert "24 passed" in run.stdout, run.stdout + run.stderr
    counts = Counter(started.read_text().split())
    assert counts.pop("started") == 1
    assert len(counts) > 1
