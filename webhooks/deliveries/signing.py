"""Signatures that prove the sender and the time of a delivery (Standard Webhooks 1.0.0).

The signed content is `{id}.{timestamp}.{body}`. The body of a get is empty, so its query is not
covered: the signature then proves sender and time, but not the content.
"""

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable
from secrets import token_bytes

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

HMAC_SHA256, ED25519 = "hmac-sha256", "ed25519"
SHARED_PREFIX, PRIVATE_PREFIX, PUBLIC_PREFIX = "whsec_", "whsk_", "whpk_"

NEW_SECRET_BYTES = 32
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
"""The permitted sizes of a shared secret in bytes (Standard Webhooks: 192 to 512 bits)."""
SEED_BYTES = 32
"""The size of an ed25519 private key in bytes (RFC 8032, 5.1.5)."""
FINGERPRINT_DIGITS = 12


class InvalidSecret(ValueError):
    """The text is no valid secret. The message gives the reason without showing any part of it."""


@frozen
class SharedSecret:
    """A secret that both sides know; signs with HMAC-SHA256, identifier `v1`."""

    key: bytes = field(repr=False)

    kind = HMAC_SHA256
    public_text = None

    @property
    def text(self) -> str:
        """The secret in the form that the receiver gets: `whsec_…`."""
        return SHARED_PREFIX + b64encode(self.key).decode()

    @property
    def fingerprint(self) -> str:
        """A public name for the secret, which does not reveal it."""
        return _fingerprint(self.key)

    def signature(self, content: bytes) -> str:
        """The content's signature in the header's form."""
        return "v1," + b64encode(hmac.digest(self.key, content, "sha256")).decode()


@frozen
class KeyPair:
    """A private key that only the sender has, and its public key; signs with ed25519, `v1a`."""

    key: Ed25519PrivateKey = field(repr=False)

    kind = ED25519

    @property
    def text(self) -> str:
        """The private key, `whsk_…`. Only the sender needs it."""
        return PRIVATE_PREFIX + b64encode(self.key.private_bytes_raw()).decode()

    @property
    def public_text(self) -> str:
        """The public key for the receiver: `whpk_…`."""
        return PUBLIC_PREFIX + b64encode(self.key.public_key().public_bytes_raw()).decode()

    @property
    def fingerprint(self) -> str:
        """The public key's fingerprint."""
        return _fingerprint(self.key.public_key().public_bytes_raw())

    def signature(self, content: bytes) -> str:
        """The content's signature in the header's form."""
        return "v1a," + b64encode(self.key.sign(content)).decode()


Secret = SharedSecret | KeyPair


def new_secret(kind: str = HMAC_SHA256) -> Secret:
    """A random secret of this kind."""
    if kind == ED25519:
        return KeyPair(Ed25519PrivateKey.generate())
    return SharedSecret(token_bytes(NEW_SECRET_BYTES))


def parse_secret(text: str) -> Secret:
    """The secret written as `whsec_…` or `whsk_…`; raises InvalidSecret.

    The base64 of a private key may also contain its public key, as libsodium and Go write it.
    """
    if text.startswith(PUBLIC_PREFIX):
        raise InvalidSecret(
            f"the secret is a public key ({PUBLIC_PREFIX}…): "
            f"signing takes the private one, {PRIVATE_PREFIX}…"
        )
    if text.startswith(SHARED_PREFIX):
        return SharedSecret(_shared_key(text))
    if text.startswith(PRIVATE_PREFIX):
        return KeyPair(_private_key(text))
    raise InvalidSecret(f"the secret begins with neither {SHARED_PREFIX} nor {PRIVATE_PREFIX}")


def signature_headers(
    secrets: Iterable[Secret], delivery_id: str, now_unix_s: float, body: bytes
) -> tuple[tuple[str, str], ...]:
    """The headers that accompany `webhook-id`, with one signature for each secret, in their order.

    Raises ValueError for an id with a full stop, which would make signed contents ambiguous.
    """
    if "." in delivery_id:
        raise ValueError(f"the delivery id {delivery_id!r} has a full stop in it")
    timestamp = str(int(now_unix_s))
    content = b".".join((delivery_id.encode(), timestamp.encode(), body))
    signatures = " ".join(secret.signature(content) for secret in secrets)
    return (TIMESTAMP_HEADER, timestamp), (SIGNATURE_HEADER, signatures)


def _shared_key(text: str) -> bytes:
    key = decoded_key(text, SHARED_PREFIX)
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise InvalidSecret(
            f"the secret has {len(key)} bytes behind {SHARED_PREFIX}: "
            f"{MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} are allowed"
        )
    return key


def _private_key(text: str) -> Ed25519PrivateKey:
    key = decoded_key(text, PRIVATE_PREFIX)
    if len(key) not in (SEED_BYTES, 2 * SEED_BYTES):
        raise InvalidSecret(
            f"the private key has {len(key)} bytes behind {PRIVATE_PREFIX}: {SEED_BYTES} are "
            f"needed, or {2 * SEED_BYTES} with the public key"
        )
    private = Ed25519PrivateKey.from_private_bytes(key[:SEED_BYTES])
    public = key[SEED_BYTES:]
    if public and not hmac.compare_digest(public, private.public_key().public_bytes_raw()):
        raise InvalidSecret("the private key and the public key that follows it do not belong")
    return private


def decoded_key(text: str, prefix: str) -> bytes:
    """The bytes of a key written in base64 behind its prefix. Raises InvalidSecret."""
    try:
        return b64decode(text.removeprefix(prefix).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        # Not chained: the error underneath may quote what it could not read.
        raise InvalidSecret(f"what follows {prefix} is not base64") from None


def _fingerprint(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:FINGERPRINT_DIGITS]
