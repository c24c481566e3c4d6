"""The difference between declared and stored hooks, and the changes that remove it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from callboard.webhooks.declarations.form import (
    ENABLED,
    SECRETS,
    STORED,
    Declarations,
    DeclaredHook,
    InvalidDeclaration,
    complete,
)
from callboard.webhooks.hooks.secrets import stored_secrets
from callboard.webhooks.values.documents import public_fields


@frozen
class GivenSecret:
    """A secret of a declared hook. `text` None: the hook has it already, by its fingerprint.

    `reference`: how the file names it.
    """

    fingerprint: str
    reference: str
    text: str | None = field(default=None, repr=False)


@frozen
class PutHook:
    """A hook to store. `members`: all public ones; without `enabled`, a stored hook keeps its.

    `rev`: the revision that it replaces; None: it is new. `secrets` None: they stay as they are.
    """

    id: str
    account_id: str
    members: Mapping[str, Any] = field(repr=False)
    rev: str | None = None
    secrets: tuple[GivenSecret, ...] | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """The approximate size in bytes, in a message."""
        return 200 + sum(len(str(value)) for value in self.members.values())


@frozen
class Added:
    """A hook that is not stored yet."""

    put: PutHook


@frozen
class Changed:
    """A stored hook that differs, in these members."""

    put: PutHook
    members: tuple[str, ...]


@frozen
class Removed:
    """A stored hook that the file does not have."""

    account_id: str
    id: str
    rev: str
    name: str


@frozen
class Plan:
    """The changes, in the order of accounts and ids; and how many hooks are as declared."""

    added: tuple[Added, ...]
    changed: tuple[Changed, ...]
    removed: tuple[Removed, ...]
    quotas: Mapping[str, Mapping[str, int]]
    unchanged: int

    def __bool__(self) -> bool:
        """Whether there is any change."""
        return bool(self.added or self.changed or self.removed or self.quotas)


Resolve = Callable[[str], GivenSecret]
"""The secret of a reference. Raises InvalidDeclaration."""


def plan(
    wanted: Declarations,
    stored: Iterable[Mapping[str, Any]],
    quotas: Mapping[str, Mapping[str, Any]],
    *,
    prune: bool,
    new_id: Callable[[], str],
    resolve: Resolve,
) -> Plan:
    """The changes after which the stored hooks and quotas are as declared.

    `stored`: the hooks of the declared accounts. `prune`: those that are not declared are removed.
    Raises InvalidDeclaration.
    """
    there = {document["_id"]: document for document in stored}
    named: dict[tuple[str, Any], list[str]] = defaultdict(list)
    for id, document in there.items():
        named[str(document.get("pvt_account_id")), document.get("name")].append(id)
    added: list[Added] = []
    changed: list[Changed] = []
    seen: set[str] = set()
    for hook in wanted.hooks:
        found = _stored(hook, there, named)
        if found is None:
            put = _put(hook, hook.id or new_id(), None, resolve)
            added.append(Added(put))
            continue
        seen.add(found["_id"])
        put = _put(hook, found["_id"], found, resolve)
        if members := _differing(put, found):
            changed.append(Changed(put, members))
    removed = [
        Removed(str(d.get("pvt_account_id")), id, d["_rev"], str(d.get("name")))
        for id, d in there.items()
        if prune and id not in seen
    ]
    return Plan(
        tuple(sorted(added, key=lambda one: (one.put.account_id, one.put.id))),
        tuple(sorted(changed, key=lambda one: (one.put.account_id, one.put.id))),
        tuple(sorted(removed, key=lambda one: (one.account_id, one.id))),
        {id: own for id, own in sorted(wanted.quotas.items()) if dict(quotas.get(id, {})) != own},
        len(seen) - len(changed),
    )


def _stored(
    hook: DeclaredHook,
    there: Mapping[str, Mapping[str, Any]],
    named: Mapping[tuple[str, Any], Sequence[str]],
) -> Mapping[str, Any] | None:
    if hook.id is not None:
        document = there.get(hook.id)
        if document is not None and document.get("pvt_account_id") != hook.account_id:
            raise InvalidDeclaration(f"{hook.place}: {hook.id} belongs to another account")
        return document
    ids = named.get((hook.account_id, hook.members.get("name")), ())
    if len(ids) > 1:
        raise InvalidDeclaration(
            f"{hook.place}: the account has {len(ids)} hooks of this name: give the id of one"
        )
    return there[ids[0]] if ids else None


def _put(
    hook: DeclaredHook, id: str, document: Mapping[str, Any] | None, resolve: Resolve
) -> PutHook:
    rev = None if document is None else document["_rev"]
    secrets = None
    if hook.secrets is not None:
        secrets = tuple(_secret(one, hook, document or {}, resolve) for one in hook.secrets)
    return PutHook(id, hook.account_id, complete(hook.members), rev, secrets)


def _secret(
    reference: str, hook: DeclaredHook, document: Mapping[str, Any], resolve: Resolve
) -> GivenSecret:
    if not reference.startswith(STORED):
        try:
            return resolve(reference)
        except InvalidDeclaration as problem:
            raise InvalidDeclaration(f"{hook.place}: {problem}") from None
    fingerprint = reference.removeprefix(STORED)
    if all(fingerprint != secret.fingerprint for secret in stored_secrets(document)):
        raise InvalidDeclaration(
            f"{hook.place}: the hook has no secret {fingerprint}: give env:NAME or file:PATH"
        )
    return GivenSecret(fingerprint, reference)


def _differing(put: PutHook, document: Mapping[str, Any]) -> tuple[str, ...]:
    """The members in which a stored hook differs from the declared one."""
    before = complete(public_fields(document))
    if ENABLED not in put.members:
        before.pop(ENABLED, None)
    names = {n for n in {*before, *put.members} if before.get(n) != put.members.get(n)}
    if put.secrets is not None:
        has = [(s.fingerprint, s.reference) for s in stored_secrets(document)]
        wants = [(s.fingerprint, "" if s.text is None else s.reference) for s in put.secrets]
        if [f for f, _reference in has] != [f for f, _reference in wants] or any(
            new and new != old for (_f, old), (_g, new) in zip(has, wants, strict=True)
        ):
            names.add(SECRETS)
    return tuple(sorted(names))
