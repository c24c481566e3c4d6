"""Requests to change many hooks at once. `->` names the response; it may also be `Refused`."""

from collections.abc import Mapping
from typing import Any

from attrs import Factory, field, frozen

from callboard.webhooks.declarations.plan import PutHook, Removed

MAX_PUT = 500
"""The most hooks of one `PutHooks`; changes on the bus wait meanwhile."""


@frozen
class PutHooks:
    """To HookListener: store these hooks, remove those, set these accounts' quotas. -> `HooksPut`.

    A hook that has another revision by now is refused, and so is one that could not fire.
    """

    puts: tuple[PutHook, ...] = field(default=(), repr=False)
    removed: tuple[Removed, ...] = ()
    quotas: Mapping[str, Mapping[str, int]] = Factory(dict)


@frozen
class HooksPut:
    """`done`: the ids of hooks; `refused`: the reasons by id, and by account for its quotas.

    The changes are in effect on this node.
    """

    done: tuple[str, ...]
    refused: Mapping[str, str] = Factory(dict)


@frozen
class GetQuotas:
    """To HookListener: the quotas of these accounts' own. -> `QuotasFound`."""

    accounts: tuple[str, ...]


@frozen
class QuotasFound:
    """The accounts' own quotas, of those that have any."""

    quotas: Mapping[str, Mapping[str, Any]]
