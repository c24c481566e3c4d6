"""Fuzzing: no test here may take longer than the number of examples lets it."""

import pytest

from support.fuzz import TIMEOUT_S


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "fuzz":
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
            item.add_marker(pytest.mark.slow)
