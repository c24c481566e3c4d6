"""The headers of a delivery: its own, and signatures if its hook has secrets."""

from functools import lru_cache

from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.deliveries.signing import (
    InvalidSecret,
    Secret,
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
        if not delivery.options.secrets:
            return delivery.headers
        secrets = [self._secret(sealed, delivery.hook_id) for sealed in delivery.options.secrets]
        try:
            body = delivery.request_body
            signatures = signature_headers(secrets, delivery.webhook_id, now_unix_s, body)
        except ValueError as problem:
            raise SigningRefused(str(problem)) from None
        return (*delivery.headers, *signatures)

    def _opened(self, sealed: str, hook_id: str) -> Secret:
        try:
            return parse_secret(self._box.opened(sealed, hook_id))
        except (SecretBoxError, InvalidSecret) as problem:
            raise SigningRefused(f"a secret of hook {hook_id} cannot be used: {problem}") from None
