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
import time
from pathlib import Path

import pytest

@pytest.mark.alone
def test_that_lets_others_in(let_others_in):
    let_others_in()
    end = time.monotonic() + 20
    while "gw" not in Path(os.environ["STARTED"]).read_text():
        assert time.monotonic() < end
        time.sleep(0.01)

@pytest.mark.alone
def test_alone():
    time.sleep(0.2)
    assert "gw" not in Path(os.environ["STARTED"]).read_text()

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
def test_fixtures_of_a_module_stay_on_one_worker_others_are_spread_and_some_run_alone(tmp_path):
    (tmp_path / "test_them.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n" + "\n".join(f"  {name}" for name in MARKS)
    )
    started = tmp_path / "started"
    started.touch()
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
    assert "26 passed" in run.stdout, run.stdout + run.stderr
    counts = Counter(started.read_text().split())
    assert counts.pop("started") == 1
    assert len(counts) > 1
