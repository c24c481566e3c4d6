"""Requests for the signing secrets of hooks. `->` names the response; it may also be `Refused`."""

from attrs import field, frozen

from callboard.webhooks.hooks.secrets import StoredSecret


@frozen
class AddSecret:
    """To HookListener: add a secret to this hook. -> `HookSecrets`.

    `secret`: `whsec_…` or `whsk_…`. A secret that the hook has already is not added again.
    `others_end_in_s`: the hook's other secrets end after this time; None: not by this.
    """

    hook_id: str
    secret: str = field(repr=False)
    others_end_in_s: int | None = None


@frozen
class RetireSecret:
    """To HookListener: remove a secret from this hook. -> `HookSecrets`."""

    hook_id: str
    fingerprint: str


@frozen
class ListSecrets:
    """To HookListener: list the secrets of a hook. -> `HookSecrets`."""

    hook_id: str


@frozen
class HookSecrets:
    """The secrets of a hook, newest first, encrypted."""

    hook_id: str
    secrets: tuple[StoredSecret, ...]


@frozen
class ReencryptSecrets:
    """To HookListener: encrypt the hooks' secrets with the newest key. -> `SecretsReencrypted`.

    For one page of hooks by id, after the id `after`.
    """

    after: str = ""


@frozen
class SecretsReencrypted:
    """The number of hooks that were re-encrypted. `failed`: (id, reason) of those that were not.

    `more`: `after` of the next `ReencryptSecrets`; None after the last page.
    """

    hooks: int
    failed: tuple[tuple[str, str], ...]
    more: str | None
