"""The admin's token of the API, in a file of the data directory."""

import secrets
from pathlib import Path

from callboard.adapters.keys.key_file import put_if_missing, read_private

LEAST = 16
"""The least number of characters in a token."""


def admin_token(path: Path) -> str:
    """The token in the file, which is created (mode 0600) if it is missing.

    Raises OSError; KeyFileError; ValueError for a file without a token.
    """
    put_if_missing(path, secrets.token_urlsafe(32))
    return read_token(path)


def read_token(path: Path) -> str:
    """The token in the file. Raises OSError; KeyFileError; ValueError for a file without a token."""
    token = read_private(path).decode(errors="replace").strip()
    if len(token) < LEAST or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{path} holds no token: remove it to have another made")
    return token
