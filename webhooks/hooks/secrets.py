"""The signing secrets in a hook's document: their form, adding and retiring them.

Member `pvt_secrets` is a list, the newest first, of objects:

| member | meaning |
|---|---|
| `fingerprint` | names the secret: 12 hex digits |
| `kind` | `hmac-sha256` or `ed25519` |
| `since` | when it was added, Gregorian seconds |
| `public_key` | of an ed25519 pair, `whpk_…` |
| `encrypted` | the secret itself, encrypted |
| `until` | when it ends, Gregorian seconds; absent: never |
| `reference` | how a file of `callboard apply` names it; absent: it was added otherwise |

Kazoo keeps private members of documents that are edited through its API, and never shows them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

MEMBER = "pvt_secrets"
MAX_SECRETS = 5
"""The most active secrets of a hook."""
MAX_EXPIRY_S = 366 * 86_400
"""The longest time after which a secret may be set to end."""


class SecretsRefused(ValueError):
    """A hook's secrets are invalid, or cannot be changed so; the text gives the reason."""


@frozen
class StoredSecret:
    """One secret of a hook's document; `since`, `until`: Gregorian seconds."""

    fingerprint: str
    kind: str
    since: int
    encrypted: str = field(repr=False)
    public_key: str | None = None
    until: int | None = None
    reference: str | None = None

    def is_active(self, now_gregorian_s: int) -> bool:
        """Whether it still signs."""
        return self.until is None or now_gregorian_s < self.until


def stored_secrets(document: Mapping[str, Any]) -> tuple[StoredSecret, ...]:
    """The secrets of a hook, the newest first. Raises SecretsRefused for an invalid list."""
    entries = document.get(MEMBER)
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise SecretsRefused(f"{MEMBER} is no list of secrets")
    return tuple(_stored(entry, place) for place, entry in enumerate(entries))


def adding(
    document: Mapping[str, Any], secret: StoredSecret, others_until: int | None = None
) -> dict[str, Any]:
    """The changes that make this the hook's newest secret; empty if the hook has it already.

    `secret.since` is the present time: secrets that have ended by then are removed. `others_until`:
    when the others end, unless they end earlier. Raises SecretsRefused if the hook has the most
    active secrets allowed.
    """
    secrets = [known for known in stored_secrets(document) if known.is_active(secret.since)]
    if any(known.fingerprint == secret.fingerprint for known in secrets):
        return {}
    if len(secrets) >= MAX_SECRETS:
        raise SecretsRefused(f"the hook has {len(secrets)} secrets already: retire one first")
    if others_until is not None:
        secrets = [evolve(s, until=min(s.until or others_until, others_until)) for s in secrets]
    return {MEMBER: [_entry(secret), *map(_entry, secrets)]}


def retiring(document: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
    """The changes that retire this secret, so that it signs no more. Raises SecretsRefused."""
    secrets = stored_secrets(document)
    kept = [_entry(secret) for secret in secrets if secret.fingerprint != fingerprint]
    if len(kept) == len(secrets):
        there = ", ".join(secret.fingerprint for secret in secrets) or "none"
        raise SecretsRefused(
            f"the hook has no secret with the fingerprint {fingerprint}; it has {there}"
        )
    return {MEMBER: kept}


def reencrypting(document: Mapping[str, Any], reencrypted: Callable[[str], str]) -> dict[str, Any]:
    """The changes that re-encrypt a hook's secrets; empty if none differs.

    Raises SecretsRefused, and the errors of `reencrypted`.
    """
    secrets = stored_secrets(document)
    changed = tuple(evolve(s, encrypted=reencrypted(s.encrypted)) for s in secrets)
    return {} if changed == secrets else {MEMBER: [_entry(secret) for secret in changed]}


def without_secrets(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without its secrets, to be shown to others."""
    return {key: value for key, value in document.items() if key != MEMBER}


def _stored(entry: Any, place: int) -> StoredSecret:
    texts = ("fingerprint", "kind", "encrypted")
    is_object = isinstance(entry, Mapping)
    if not is_object or not all(isinstance(entry.get(name), str) for name in texts):
        raise SecretsRefused(f"{MEMBER}: number {place + 1} lacks one of {', '.join(texts)}")
    since, public_key, until = (entry.get(name) for name in ("since", "public_key", "until"))
    reference = entry.get("reference")
    return StoredSecret(
        fingerprint=entry["fingerprint"],
        kind=entry["kind"],
        since=since if type(since) is int else 0,
        encrypted=entry["encrypted"],
        public_key=public_key if isinstance(public_key, str) else None,
        until=until if type(until) is int and until > 0 else None,
        reference=reference if isinstance(reference, str) else None,
    )


def _entry(secret: StoredSecret) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "fingerprint": secret.fingerprint,
        "kind": secret.kind,
        "since": secret.since,
        "encrypted": secret.encrypted,
    }
    if secret.public_key:
        entry["public_key"] = secret.public_key
    if secret.until is not None:
        entry["until"] = secret.until
    if secret.reference:
        entry["reference"] = secret.reference
    return entry


def replacing(secrets: Sequence[StoredSecret]) -> dict[str, Any]:
    """The changes that give a hook exactly these secrets. Raises SecretsRefused."""
    if len(secrets) > MAX_SECRETS:
        raise SecretsRefused(f"the hook would have {len(secrets)} secrets: {MAX_SECRETS} at most")
    return {MEMBER: [_entry(secret) for secret in secrets] or None}
