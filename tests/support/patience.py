"""How long tests wait for an event before they fail.

`CALLBOARD_TEST_PATIENCE=4 python -m pytest` waits four times as long, on a slow or busy machine. A
passing test takes no longer by it.
"""

import os

PATIENCE = float(os.environ.get("CALLBOARD_TEST_PATIENCE", "1"))


def patient(seconds):
    """This time, adjusted to the machine."""
    return seconds * PATIENCE
