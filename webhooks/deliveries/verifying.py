"""A receiver's check of a signed delivery (Standard Webhooks 1.0.0).

The counterpart of `signing`; `callboard listen` checks arriving requests with it.
"""

import hmac
from collections.abc import Mapping, Sequence
from enum import StrEnum

from attrs import field, frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callboard.webhooks.deliveries.signing import (
    PUBLIC_PREFIX,
    SEED_BYTES,
    SHARED_PREFIX,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    InvalidSecret,
    SharedSecret,
    decoded_key,
    parse_secret,
)

ID_HEADER = "webhook-id"
TOLERANCE_S = 300
"""The most seconds that clock difference and transit time of a delivery may add up to."""

_SIGNATURE_CHARACTERS = 8192
"""Longer than a header with any permitted number of secrets."""


class Verdict(StrEnum):
    """The result of checking a request's signature."""

    OK = "ok"
    WRONG = "wrong"
    MISSING = "missing"
    TOO_OLD = "too old"
    TOO_NEW = "too new"


@frozen
class PublicKey:
    """The receiver's half of a key pair; verifies `v1a`."""

    key: Ed25519PublicKey = field(repr=False)

    def signed(self, content: bytes, signature: str) -> bool:
        """Whether the holder of the private key has signed this content."""
        version, _, text = signature.partition(",")
        if version != "v1a":
            return False
        try:
            self.key.verify(decoded_key(text, ""), content)
        except (InvalidSignature, InvalidSecret):
            return False
        return True


@frozen
class SharedKey:
    """The secret that both sides know; verifies `v1`."""

    secret: SharedSecret

    def signed(self, content: bytes, signature: str) -> bool:
        """Whether a holder of the secret has signed this content."""
        wanted = self.secret.signature(content).encode()
        return hmac.compare_digest(wanted, signature.encode(errors="replace"))


VerifyingKey = PublicKey | SharedKey


def parse_verifying_key(text: str) -> VerifyingKey:
    """The key that a receiver was given: `whsec_…` or `whpk_…`. Raises InvalidSecret."""
    if text.startswith(PUBLIC_PREFIX):
        return PublicKey(_public_key(text))
    if text.startswith(SHARED_PREFIX):
        secret = parse_secret(text)
        assert isinstance(secret, SharedSecret)  # by its prefix
        return SharedKey(secret)
    raise InvalidSecret(f"a receiver verifies with {SHARED_PREFIX}… or {PUBLIC_PREFIX}…")


def _public_key(text: str) -> Ed25519PublicKey:
    key = decoded_key(text, PUBLIC_PREFIX)
    if len(key) != SEED_BYTES:
        raise InvalidSecret(
            f"the public key has {len(key)} bytes behind {PUBLIC_PREFIX}: {SEED_BYTES} are needed"
        )
    return Ed25519PublicKey.from_public_bytes(key)


def verify(
    keys: Sequence[VerifyingKey],
    headers: Mapping[str, str],
    body: bytes,
    now_unix_s: float,
    tolerance_s: float = TOLERANCE_S,
) -> Verdict:
    """The result of checking the signatures in `headers` (names in lower case) with these keys.

    One valid signature by one of the keys is enough. A validly signed but late request is
    `TOO_OLD`: it may be a replay of a recorded one.
    """
    id, timestamp = headers.get(ID_HEADER, ""), headers.get(TIMESTAMP_HEADER, "")
    signatures = headers.get(SIGNATURE_HEADER, "")
    if not (id and timestamp and signatures):
        return Verdict.MISSING
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return Verdict.WRONG
    content = f"{id}.{timestamp}.".encode(errors="replace") + body
    each = signatures[:_SIGNATURE_CHARACTERS].split(" ")
    if not any(key.signed(content, signature) for key in keys for signature in each):
        return Verdict.WRONG
    late_s = now_unix_s - int(timestamp)
    if late_s > tolerance_s:
        return Verdict.TOO_OLD
    return Verdict.TOO_NEW if late_s < -tolerance_s else Verdict.OK
