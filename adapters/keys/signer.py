"""The headers of a delivery: its own, and signatures if its hook has secrets."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest

from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.deliveries.signing import (
    InvalidSecret,
    Secret,
    SharedSecret,
    parse_secret,
    signature_headers,
)

SECRETS_KNOWN = 4096
"""How many decrypted secrets are cached: decrypting takes longer than signing."""

REFUSED = "refused: signature"
"""The kind of ClientError if a delivery cannot be signed: it is not sent unsigned."""

Headers = tuple[tuple[str, str], ...]


class SigningRefused(Exception):
    """A secret of the hook or the delivery's id is unusable; the text gives the reason."""


class Signer:
    """Signs deliveries with the secrets of their hooks, newest first. Thread-safe."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box
        # Failures are not cached: the key may be provided later.
        self._secret = lru_cache(SECRETS_KNOWN)(self._opened)

    def signed(self, delivery: Delivery, now_unix_s: float) -> Headers:
        """All headers of an attempt made now. Raises SigningRefused."""
        options = delivery.options
        if not options.secrets:
            if options.scheme is not None:
                raise SigningRefused(f"hook {delivery.hook_id} has a signature, but no secret")
            return delivery.headers
        secrets = [
            self._secret(sealed, delivery.hook_id)
            for sealed, until in zip_longest(options.secrets, options.secrets_until, fillvalue=0)
            if not until or now_unix_s < until
        ]
        if not secrets:
            raise SigningRefused(f"all secrets of hook {delivery.hook_id} have ended")
        try:
            body = delivery.request_body
            signatures = signature_headers(secrets, delivery.webhook_id, now_unix_s, body)
        except ValueError as problem:
            raise SigningRefused(str(problem)) from None
        return (*delivery.headers, *signatures, *_of_scheme(delivery, secrets))

    def _opened(self, sealed: str, hook_id: str) -> Secret:
        try:
            return parse_secret(self._box.opened(sealed, hook_id))
        except (SecretBoxError, InvalidSecret) as problem:
            raise SigningRefused(f"a secret of hook {hook_id} cannot be used: {problem}") from None


def _of_scheme(delivery: Delivery, secrets: Sequence[Secret]) -> Headers:
    """The signature of the hook's own scheme, by its oldest shared secret.

    Such a header holds one signature. A receiver learns of a new secret after it was created, and
    has the oldest for certain.
    """
    scheme = delivery.options.scheme
    if scheme is None:
        return ()
    shared = [secret for secret in secrets if isinstance(secret, SharedSecret)]
    if not shared:
        raise SigningRefused(f"hook {delivery.hook_id}: {scheme.name} needs a secret whsec_…")
    return (scheme.signature(shared[-1].key, delivery.request_body),)
