"""Stored hooks: asked for, changed, and told of. Requests name their answer, or `Refused`."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.adapters.broker.protocol import IncomingMessage


@frozen
class ZoneChanges:
    """ZoneListener to HookListener: changes that were told on another zone's bus.

    `messages` None: some may have been missed.
    """

    messages: tuple[IncomingMessage, ...] | None


@frozen
class ConfigurationChanged:
    """HookListener to whoever looks documents up: these (database, id) documents have changed.

    `documents` None: changes may have been missed, so anything may have changed.
    """

    documents: tuple[tuple[str, str], ...] | None


@frozen
class AddHook:
    """To HookListener: store this hook document and let every node know. -> `HookSaved`."""

    document: Mapping[str, Any]


@frozen
class ApplyHook:
    """To HookListener: a hook was saved, and told of; take it in now. -> `HookApplied`."""

    account_id: str
    hook_id: str


@frozen
class HookApplied:
    """That hook is in effect on this node, or was asked to be a few seconds ago."""

    hook_id: str


@frozen
class GetHook:
    """To HookListener: what is stored of this hook? -> `HookSaved`."""

    hook_id: str


@frozen
class EditHook:
    """To HookListener: change public members of a stored hook, None: take away. -> `HookSaved`.

    A hook that is enabled is so without the reason it was disabled for.
    """

    hook_id: str
    changes: Mapping[str, Any]


@frozen
class RemoveHook:
    """To HookListener: delete this hook and let every node know. -> `HookSaved`."""

    hook_id: str


@frozen
class DisableHook:
    """To HookListener: a hook is not to fire any more, as it failed too often or is unwanted."""

    account_id: str
    hook_id: str
    reason: str


@frozen
class HookSaved:
    """The hook's document is stored as it says."""

    document: Mapping[str, Any]


@frozen
class ListHooks:
    """To HookListener: the stored hook documents, of one account or of all. -> `HookList`.

    They are ordered by account and id. `after`: these two of the last one that is known already.
    """

    account_id: str | None = None
    limit: int = 1000
    after: tuple[str, str] | None = None


@frozen
class HookList:
    """Hook documents by id, at most as many as asked for; `more`: there are others."""

    documents: tuple[Mapping[str, Any], ...]
    more: bool


@frozen
class ListHookProblems:
    """To HookListener: which stored hooks cannot fire? -> `HookProblems`."""


@frozen
class HookProblem:
    """A stored hook that cannot fire, and why."""

    account_id: str
    hook_id: str
    reason: str


@frozen
class HookProblems:
    """Hooks that cannot fire, at most a thousand; `loading`: more may be found yet."""

    problems: tuple[HookProblem, ...]
    loading: bool
