"""Requests to read and change stored hooks, and changes of documents.

`->` names the response; it may also be `Refused`.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.adapters.broker.protocol import IncomingMessage


@frozen
class ZoneChanges:
    """ZoneListener to HookListener: changes published on another zone's bus.

    `messages` None: some may have been missed.
    """

    messages: tuple[IncomingMessage, ...] | None


@frozen
class ConfigurationChanged:
    """HookListener to actors with a directory: these (database, id) documents have changed.

    `documents` None: changes may have been missed, so any document may have changed.
    """

    documents: tuple[tuple[str, str], ...] | None


@frozen
class RefreshHooks:
    """To HookListener: read the changes from the store, since some may have been missed.

    -> `HooksRefreshed`, once all hooks that were stored before this are in effect.
    """

    ask: int


@frozen
class HooksRefreshed:
    """The hooks are as the store had them after the `RefreshHooks` with this number."""

    ask: int


@frozen
class AddHook:
    """To HookListener: store this hook document and publish the change. -> `HookSaved`."""

    document: Mapping[str, Any]


@frozen
class ApplyHooks:
    """To HookListener: apply hooks that were saved and published. -> `HooksApplied`.

    `hooks`: the ids of each one's account, and its own.
    """

    hooks: tuple[tuple[str, str], ...]


@frozen
class HooksApplied:
    """The hooks are in effect on this node, or waiting for that timed out."""


@frozen
class GetHook:
    """To HookListener: show this stored hook. -> `HookSaved`."""

    hook_id: str


@frozen
class EditHook:
    """To HookListener: change public fields of a stored hook; None removes one. -> `HookSaved`.

    Enabling a hook also removes the reason why it was disabled.
    """

    hook_id: str
    changes: Mapping[str, Any]


@frozen
class RemoveHook:
    """To HookListener: delete this hook and publish the change. -> `HookSaved`."""

    hook_id: str


@frozen
class CancelDeliveries:
    """To HookListener: cancel the deliveries of a hook that have not ended yet. -> `HookSaved`.

    The hook stays as it is; requests in flight end, but are not followed by others.
    """

    hook_id: str


@frozen
class DisableHook:
    """To HookListener: disable a hook that failed too often or whose endpoint is gone."""

    account_id: str
    hook_id: str
    reason: str


@frozen
class HookSaved:
    """The hook's document as stored."""

    document: Mapping[str, Any]


@frozen
class ListHooks:
    """To HookListener: the stored hook documents, of one account or of all. -> `HookList`.

    They are ordered by account and id. `after`: account and id of the last one of the page before.
    `secrets`: with their secrets, but not the encrypted texts of these. `accounts`: of these
    instead, in this order.
    """

    account_id: str | None = None
    limit: int = 1000
    after: tuple[str, str] | None = None
    secrets: bool = False
    accounts: tuple[str, ...] = ()


@frozen
class HookList:
    """Hook documents, at most `limit`; `more`: there are others."""

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
    """Hooks that cannot fire, at most a thousand; `loading`: there may be more."""

    problems: tuple[HookProblem, ...]
    loading: bool
