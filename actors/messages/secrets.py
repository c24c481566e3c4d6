"""The secrets that hooks are signed with. Requests name their answer, or `Refused`."""

from attrs import field, frozen

from callboard.webhooks.hooks.secrets import StoredSecret


@frozen
class AddSecret:
    """To HookListener: sign this hook's deliveries with this secret, too. -> `HookSecrets`.

    `secret`: `whsec_…` or `whsk_…`. One that the hook has already is not added again.
    """

    hook_id: str
    secret: str = field(repr=False)


@frozen
class RetireSecret:
    """To HookListener: sign with this secret of the hook no more. -> `HookSecrets`."""

    hook_id: str
    fingerprint: str


@frozen
class ListSecrets:
    """To HookListener: which secrets are a hook's deliveries signed with? -> `HookSecrets`."""

    hook_id: str


@frozen
class HookSecrets:
    """The secrets of a hook, the newest first, and still encrypted."""

    hook_id: str
    secrets: tuple[StoredSecret, ...]


@frozen
class ReencryptSecrets:
    """To HookListener: encrypt the hooks' secrets with the newest key. -> `SecretsReencrypted`.

    A page of the hooks behind `after`, by id.
    """

    after: str = ""


@frozen
class SecretsReencrypted:
    """So many hooks' secrets were encrypted anew. `failed`: (id, reason) where they were not.

    `more`: what the next `ReencryptSecrets` goes on after; None where it is done.
    """

    hooks: int
    failed: tuple[tuple[str, str], ...]
    more: str | None
