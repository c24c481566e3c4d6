"""Hooks' secrets in the store: encrypted with a key that only the nodes have.

Fernet (AES-128-CBC with HMAC-SHA256, of the package cryptography) encrypts. The stored text is

    hint of the key . Fernet token of: the hook's id, a line feed, the secret

The hint, 8 hex digits of the key's SHA-256, identifies a missing key. The id binds a secret to its
hook: it cannot be decrypted in another hook's document.
"""

import hashlib
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

import structlog
from cryptography.fernet import Fernet, InvalidToken

from callboard.adapters.keys import key_file

_log = structlog.get_logger(__name__)

KEY_BYTES = 32
HINT_DIGITS = 8

_HINT = re.compile(r"[0-9a-f]{8}")
_STANDARD_BASE64 = str.maketrans("-_", "+/")


class SecretBoxError(Exception):
    """A secret cannot be encrypted or decrypted; the text gives the reason without the secret."""


class SecretBox:
    """The keys of this node: `keys` or, if empty, those in the file.

    Keys are 32 bytes in base64, separated by commas, blanks or line feeds. The first encrypts, all
    decrypt. The file is read again when a secret needs an unknown key.
    """

    def __init__(self, keys: str, file: Path) -> None:
        self._given = keys
        self._file = file
        self._keys: Mapping[str, Fernet] = {}

    def sealed(self, secret: str, hook_id: str) -> str:
        """The hook's secret, encrypted. If there is no key at all, one is created in the file.

        Raises SecretBoxError.
        """
        if not self._given:
            self._make_file()
        hint, key = next(iter(self._read().items()))
        token = key.encrypt(f"{hook_id}\n{secret}".encode())
        return f"{hint}.{token.decode()}"

    def opened(self, sealed: str, hook_id: str) -> str:
        """The secret, decrypted, if it was encrypted for this hook. Raises SecretBoxError."""
        hint, _, token = sealed.partition(".")
        if not _HINT.fullmatch(hint):
            raise SecretBoxError("it is damaged: it names no key")
        if hint not in self._keys:
            self._keys = self._read()
        if hint not in self._keys:
            raise SecretBoxError(
                f"it was encrypted with the key {hint}; {self._place} has {', '.join(self._keys)}: "
                "give all nodes the same keys"
            )
        try:
            text = self._keys[hint].decrypt(token.encode(errors="replace")).decode()
        except InvalidToken:
            raise SecretBoxError(f"it is damaged: the key {hint} does not open it") from None
        owner, _, secret = text.rpartition("\n")
        if owner != hook_id:
            raise SecretBoxError(f"it was encrypted for hook {owner} and not for hook {hook_id}")
        return secret

    def resealed(self, sealed: str, hook_id: str) -> str:
        """The secret re-encrypted with the first key; unchanged if it uses that key already.

        Raises SecretBoxError.
        """
        if sealed.partition(".")[0] == next(iter(self._read())):
            return sealed
        return self.sealed(self.opened(sealed, hook_id), hook_id)

    def hints(self) -> tuple[str, ...]:
        """The hints of this node's keys, the newest key's first. Raises SecretBoxError."""
        return tuple(self._read())

    @property
    def _place(self) -> str:
        return "secrets.key" if self._given else str(self._file)

    def _make_file(self) -> None:
        if self._file.exists():
            return
        try:
            key_file.put_if_missing(self._file, Fernet.generate_key().decode())
        except OSError as problem:
            raise SecretBoxError(f"{self._file} cannot be made: {problem.strerror}") from None
        _log.warning("secrets_key_made", file=str(self._file), todo="copy it to all nodes")

    def _read(self) -> Mapping[str, Fernet]:
        """The keys by their hints, in order; at least one."""
        keys = _parsed(self._given or self._file_text(), self._place)
        if not keys:
            raise SecretBoxError(f"{self._place} has no key")
        return keys

    def _file_text(self) -> str:
        try:
            return key_file.read_private(self._file).decode("ascii")
        except key_file.KeyFileError as problem:
            raise SecretBoxError(str(problem)) from None
        except OSError as problem:
            raise SecretBoxError(
                f"{self._file} cannot be read ({problem.strerror}): all nodes need the keys"
            ) from None
        except UnicodeDecodeError:
            raise SecretBoxError(f"{self._file} holds an invalid key") from None


def key_hint(sealed: str) -> str:
    """The hint of the key that encrypted the secret."""
    return sealed.partition(".")[0]


def _parsed(text: str, place: str) -> Mapping[str, Fernet]:
    keys: dict[str, Fernet] = {}
    for number, written in enumerate(filter(None, re.split(r"[\s,]+", text)), 1):
        try:
            key = b64decode(written.translate(_STANDARD_BASE64), validate=True)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise SecretBoxError(
                f"key number {number} of {place} is not {KEY_BYTES} bytes in base64: make one with "
                "`openssl rand -base64 32`"
            )
        hint = hashlib.sha256(key).hexdigest()[:HINT_DIGITS]
        keys.setdefault(hint, Fernet(urlsafe_b64encode(key)))
    return keys
