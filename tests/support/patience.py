"""How long tests wait for an event before they fail.

`CALLBOARD_TEST_PATIENCE=4 python -m pytest` waits four times as long, on a slow or busy machine. A
passing test takes no longer by it. By default once as long, and twice beside other tests.
"""

import os

_BY_DEFAULT = "2" if "PYTEST_XDIST_WORKER" in os.environ else "1"
PATIENCE = float(os.environ.get("CALLBOARD_TEST_PATIENCE", _BY_DEFAULT))


def patient(seconds):
    """This time, adjusted to the machine."""
    return seconds * PATIENCE
