"""The form of declared hooks, in a file or in a request to the API.

A hook's table has its public members as the API names them, and

| member | meaning |
|---|---|
| `id` | the hook's id; without one, it is the account's only hook of that `name` |
| `account` | the account's id |
| `secrets` | references to its signing secrets, the newest first; absent: they stay as they are |
| `json` | members as texts of JSON, for values that TOML lacks, such as null |

Members that a new hook gets anyway may be left out. `enabled` may be left out, too: then the hook
stays as it is, so that a hook that was disabled for its failures is not enabled by the way.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import Factory, field, fields, frozen

from callboard.webhooks.hooks.hook import new_hook
from callboard.webhooks.hooks.quotas import SECTION, Quotas
from callboard.webhooks.hooks.secrets import MEMBER, StoredSecret, stored_secrets
from callboard.webhooks.values.documents import public_fields

ACCOUNT, ID, SECRETS, JSON = "account", "id", "secrets", "json"
ENABLED = "enabled"
STORED = "stored:"
"""Begins a reference to a secret that the hook has, by its fingerprint."""

_HOOK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_QUOTAS = frozenset(one.name for one in fields(Quotas))


class InvalidDeclaration(ValueError):
    """A declaration that cannot be used; the text names the place."""


@frozen
class DeclaredHook:
    """A hook as it is to be. `secrets` None: they stay as they are; `place`: for messages."""

    account_id: str
    id: str | None
    members: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] | None = None
    place: str = ""


@frozen
class Declarations:
    """The content of a file. `quotas`: those of the accounts that have a table of their own."""

    hooks: tuple[DeclaredHook, ...]
    quotas: Mapping[str, Mapping[str, int]] = Factory(dict)

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts of the file, in order."""
        return tuple(sorted({hook.account_id for hook in self.hooks} | set(self.quotas)))


def read_declarations(content: Mapping[str, Any]) -> Declarations:
    """The declarations in a parsed file. Raises InvalidDeclaration."""
    if other := sorted(set(content) - {"hooks", "accounts"}):
        raise InvalidDeclaration(f"{other[0]}: there are only [[hooks]] and [accounts.ID.quotas]")
    tables, accounts = content.get("hooks", []), content.get("accounts", {})
    if not isinstance(tables, list) or not isinstance(accounts, Mapping):
        raise InvalidDeclaration("hooks are [[hooks]] tables, accounts [accounts.ID.quotas]")
    hooks = tuple(declared_hook(t, f"hook {n}") for n, t in enumerate(tables, 1))
    _check_once(hooks)
    return Declarations(hooks, {id: _quotas(id, table) for id, table in accounts.items()})


def declared_hook(table: Any, place: str, account_id: str | None = None) -> DeclaredHook:
    """The hook of a table; `account_id`: its account, if the table need not name it."""
    if not isinstance(table, Mapping):
        raise InvalidDeclaration(f"{place} is no table")
    name = table.get("name")
    where = f"{place} ({name})" if isinstance(name, str) else place
    owner, id, secrets = table.get(ACCOUNT, account_id), table.get(ID), table.get(SECRETS)
    if not isinstance(owner, str) or not owner:
        raise InvalidDeclaration(f"{where}: account is missing")
    if id is not None and not (isinstance(id, str) and _HOOK_ID.fullmatch(id)):
        raise InvalidDeclaration(f"{where}: id is no text of letters, digits, _ and -")
    if id is None and not isinstance(name, str):
        raise InvalidDeclaration(f"{where}: give it an id or a name")
    if secrets is not None and not (
        isinstance(secrets, list) and all(isinstance(s, str) for s in secrets)
    ):
        raise InvalidDeclaration(f"{where}: secrets is no list of references")
    members = {k: v for k, v in table.items() if k not in (ACCOUNT, ID, SECRETS, JSON)}
    if private := [key for key in members if key.startswith(("_", "pvt_"))]:
        raise InvalidDeclaration(f"{where}: {private[0]} is no member of a hook")
    members |= _decoded(table.get(JSON, {}), where)
    return DeclaredHook(owner, id, members, None if secrets is None else tuple(secrets), where)


def _decoded(texts: Any, where: str) -> dict[str, Any]:
    if not isinstance(texts, Mapping):
        raise InvalidDeclaration(f"{where}: json is no table of texts")
    try:
        return {key: json.loads(text) for key, text in texts.items()}
    except (TypeError, ValueError, RecursionError) as problem:
        raise InvalidDeclaration(f"{where}: json: {problem}") from None


def _check_once(hooks: Iterable[DeclaredHook]) -> None:
    seen: dict[Any, str] = {}
    for hook in hooks:
        key = hook.id or (hook.account_id, hook.members["name"])
        if key in seen:
            raise InvalidDeclaration(f"{hook.place} and {seen[key]} are the same hook")
        seen[key] = hook.place


def _quotas(account_id: str, table: Any) -> dict[str, int]:
    quotas = table.get(SECTION, {}) if isinstance(table, Mapping) else None
    if not isinstance(quotas, Mapping) or set(table) - {SECTION}:
        raise InvalidDeclaration(f"accounts.{account_id}: there is only {SECTION}")
    for name, value in quotas.items():
        if name not in _QUOTAS:
            raise InvalidDeclaration(f"accounts.{account_id}: there is no quota {name}")
        if type(value) is not int or value < 1:
            raise InvalidDeclaration(f"accounts.{account_id}: {name} is no number of 1 or more")
    return dict(quotas)


# Stored hooks


def complete(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members with those that a new hook gets anyway, but for `enabled`."""
    whole = public_fields(new_hook(members, 0, "", ""))
    if ENABLED not in members:
        whole.pop(ENABLED, None)
    return whole


def table_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a stored hook. Raises SecretsRefused."""
    same = complete({})
    shown = {
        key: value
        for key, value in public_fields(document).items()
        if key not in same or same[key] != value
    }
    if shown.get(ENABLED) is True:
        del shown[ENABLED]
    secrets = [reference_of(secret) for secret in stored_secrets(document)]
    texts = {key: json.dumps(value) for key, value in shown.items() if _lacks_form(value)}
    return {
        ID: document["_id"],
        ACCOUNT: str(document.get("pvt_account_id")),
        **{key: shown[key] for key in sorted(shown) if key not in texts},
        **({SECRETS: secrets} if secrets else {}),
        **({JSON: texts} if texts else {}),
    }


def reference_of(secret: StoredSecret) -> str:
    """How a file names a stored secret."""
    return secret.reference or f"{STORED}{secret.fingerprint}"


def _lacks_form(value: Any) -> bool:
    """Whether TOML has no form for the value."""
    if isinstance(value, Mapping):
        return any(map(_lacks_form, value.values()))
    if isinstance(value, list):
        return any(map(_lacks_form, value))
    return value is None


def secrets_shown(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its secrets as others may see them: without the encrypted texts."""
    entries = document.get(MEMBER)
    if not isinstance(entries, list):
        return dict(document)
    shown = [{**e, "encrypted": ""} if isinstance(e, Mapping) else e for e in entries]
    return {**document, MEMBER: shown}
