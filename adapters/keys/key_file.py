"""Key files: created completely or not at all, readable by their owner only."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def put_if_missing(path: Path, text: str) -> None:
    """Create the file (mode 0600) with this line unless it exists. Raises OSError.

    If several processes do so at once, the first wins.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".key-") as draft:
        draft.write(text.encode() + b"\n")
        draft.flush()
        os.fsync(draft.fileno())
        with suppress(FileExistsError):
            os.link(draft.name, path)
