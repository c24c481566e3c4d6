"""A headless Chromium for the tests: Debian's, driven through playwright."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from services import missing

PROGRAMS = ("chromium", "/usr/bin/chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A running browser; skipped where none is installed.

    Of a module: while it runs, playwright's event loop does, too, and lets no other run.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        missing("chromium", "apt-get install --no-install-recommends chromium")
    # It refuses its sandbox to root, and in containers that have no user namespaces.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def artifacts() -> Path:
    """A folder for what people look at afterwards, such as screenshots: build/artifacts."""
    folder = Path(__file__).parents[2] / "build" / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
