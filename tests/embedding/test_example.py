"""The examples of docs/embedding, as a reader would run them."""

import importlib
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from callboard.supervision import die_with_parent
from support.patience import patient
from support.running import kill_all
from support.trees import MULTI

DOCS = Path(__file__).parents[2] / "docs" / "embedding"
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CALLBOARD_")}


@pytest.fixture
def example(base, tmp_path):
    """The running example, its data below `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, DOCS / "host.py", base],
        env=ENVIRONMENT | {"CALLBOARD_CONFIG": os.devnull, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )
    yield process
    process.kill()
    kill_all(family(tmp_path))  # Those left would keep the pipes open, and the tests waiting.
    process.communicate()


def family(tmp_path):
    """All processes of the example."""

    def is_mine(process):
        try:
            mine = process.environ().get("TMPDIR") == str(tmp_path)
            return mine and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if is_mine(process)]


def test_the_example_shows_what_its_page_says(example, base, tmp_path):
    said, complaints = example.communicate(timeout=patient(60))
    assert example.returncode == 0, complaints
    lines = [re.sub(r":\d{4,5}/", "/", line) for line in said.splitlines()]
    # What three failures come to when: all at once, or some of them later.
    story = list(dict.fromkeys(x for x in lines if not x.startswith(("  POST", "refused: "))))
    assert "3 events published" in story
    story.remove("3 events published")
    killed = [
        "kill -9 of deliveries/deliverer-1",
        "child restarted: deliveries/deliverer-1, it was killed by SIGKILL",
    ]
    assert story == [
        "Callboard is ready",
        "hook added, to http://127.0.0.1/ok",
        "hook added, to http://127.0.0.1/status/500",
        "delivery failed: http://127.0.0.1/status/500, status 500",
        "hook disabled: its endpoint is broken",
        *(killed if base == MULTI else []),
        "Callboard has ended",
    ]
    posts = {line.strip() for line in lines if line.startswith("  POST")}
    paths = ("/ok", "/status/500")
    assert posts == {f"POST {path} call-{number}" for path in paths for number in range(3)}
    assert not family(tmp_path)


@pytest.mark.parametrize("late", [False, True], ids=["early", "while it stops"])
def test_nothing_outlives_the_example_when_it_is_killed(example, base, late, tmp_path):
    last = "child restarted" if base == MULTI else "hook disabled"
    while (last if late else "hook added") not in example.stdout.readline():
        pass
    processes = family(tmp_path)
    assert example.pid in {process.pid for process in processes}
    example.kill()
    example.wait()
    left = psutil.wait_procs([p for p in processes if p.pid != example.pid], timeout=patient(30))[1]
    assert not left, left
    assert not family(tmp_path)


def test_the_host_of_the_page_works(embedding, base, settings, tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(from .*?)```", (DOCS / "README.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) <= 30
    name = f"host_of_the_page_on_{base}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    hosted = embedding(base, host=importlib.import_module(name).Host)
    hosted.system.tell(hosted.host, settings())
    said = []
    while said[-1:] != ["ended"]:
        said.append(hosted.system.listen(timedelta(seconds=30)))
        assert said[-1] is not None, said
        if said[-1] == "ready":
            hosted.system.tell(hosted.host, "stop")
    assert said == ["ready", "ended"]
