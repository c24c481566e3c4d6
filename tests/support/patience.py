"""How long tests wait for what is to happen, before they call it missing.

`CALLBOARD_TEST_PATIENCE=4 python -m pytest` waits four times as long, on a machine that is slow or
busy. A test that passes takes no longer by it.
"""

import os

PATIENCE = float(os.environ.get("CALLBOARD_TEST_PATIENCE", "1"))


def patient(seconds):
    """So long, on a machine like this."""
    return seconds * PATIENCE
