"""Builds the project's distributions."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from support.patience import patient

PROJECT = Path(__file__).parents[2]

NOT_SOURCES = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".services",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
)


def build(folder: Path) -> tuple[Path, Path]:
    """The source archive, and the wheel built from it."""
    if Version(version("setuptools")) < Version("77"):
        pytest.fail("building needs setuptools 77: pip install --upgrade setuptools")
    shutil.copytree(PROJECT, folder / "source", ignore=NOT_SOURCES)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist"]
    run = subprocess.run(
        [*command, folder / "source"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=patient(240),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (archive,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    return archive, wheel
