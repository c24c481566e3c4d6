"""The messages between Callboard's actors: frozen values, in batches if they are frequent.

`paths` has the paths of the actors.

Thespian sends a few hundred messages a second between processes, whatever their size, so events,
deliveries, settlements, attempts and failures are sent in batches. It also formats each message two
or three times for its disabled debug log, so the contents of batches have `repr=False`.

A module is imported when a message of it, or of one after it in MODULES, is first used: a command
needs few of the messages, and to make the classes of all takes longer than most commands.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from callboard.actors.messages.attempts import (
        AttemptPolicy,
        Attempts,
        AttemptsPersisted,
        WhichAttempts,
    )
    from callboard.actors.messages.events import (
        DeliveryBatch,
        EventBatch,
        EventDeliveries,
        NotHeld,
        Progress,
        Published,
        PublishEvents,
        Quiesce,
        Quiesced,
        RawEvent,
        Reconcile,
        Routed,
    )
    from callboard.actors.messages.failures import (
        CountFailures,
        FailedAttempts,
        FailingListed,
        FailuresCounted,
        FailuresForgotten,
        FailuresSeen,
        FlushFailures,
        FlushHooks,
        GetFailures,
        ListFailing,
    )
    from callboard.actors.messages.hook_streams import (
        Applied,
        Barrier,
        ChangeHooks,
        FindHooks,
        FindOrdered,
        HookPage,
        HooksChanged,
        HooksFound,
        HooksLoaded,
        HooksOutdated,
        LoadHooks,
        NextPage,
        OrderedFound,
        Subscribe,
    )
    from callboard.actors.messages.hooks import (
        AddHook,
        ApplyHooks,
        CancelDeliveries,
        ConfigurationChanged,
        DisableHook,
        EditHook,
        GetHook,
        HookList,
        HookProblem,
        HookProblems,
        HooksApplied,
        HookSaved,
        HooksRefreshed,
        ListHookProblems,
        ListHooks,
        RefreshHooks,
        RemoveHook,
        ZoneChanges,
    )
    from callboard.actors.messages.metrics import (
        Figures,
        GetFigures,
        GetHealth,
        GetMetrics,
        Health,
        MetricsText,
    )
    from callboard.actors.messages.operations import (
        Ask,
        GetSettings,
        ListTable,
        NoAnswer,
        RefusedByActor,
        TableListed,
    )
    from callboard.actors.messages.retries import (
        Defer,
        Deferred,
        DueBatch,
        HookQueue,
        HookQueues,
        ListHookQueues,
        Release,
    )
    from callboard.actors.messages.secrets import (
        AddSecret,
        HookSecrets,
        ListSecrets,
        ReencryptSecrets,
        RetireSecret,
        SecretsReencrypted,
    )
    from callboard.admin import Refused

__all__ = [
    "AddHook",
    "AddSecret",
    "Applied",
    "ApplyHooks",
    "Ask",
    "AttemptPolicy",
    "Attempts",
    "AttemptsPersisted",
    "Barrier",
    "CancelDeliveries",
    "ChangeHooks",
    "ConfigurationChanged",
    "CountFailures",
    "Defer",
    "Deferred",
    "DeliveryBatch",
    "DisableHook",
    "DueBatch",
    "EditHook",
    "EventBatch",
    "EventDeliveries",
    "FailedAttempts",
    "FailingListed",
    "FailuresCounted",
    "FailuresForgotten",
    "FailuresSeen",
    "Figures",
    "FindHooks",
    "FindOrdered",
    "FlushFailures",
    "FlushHooks",
    "GetFailures",
    "GetFigures",
    "GetHealth",
    "GetHook",
    "GetMetrics",
    "GetSettings",
    "Health",
    "HookList",
    "HookPage",
    "HookProblem",
    "HookProblems",
    "HookQueue",
    "HookQueues",
    "HookSaved",
    "HookSecrets",
    "HooksApplied",
    "HooksChanged",
    "HooksFound",
    "HooksLoaded",
    "HooksOutdated",
    "HooksRefreshed",
    "ListFailing",
    "ListHookProblems",
    "ListHookQueues",
    "ListHooks",
    "ListSecrets",
    "ListTable",
    "LoadHooks",
    "MetricsText",
    "NextPage",
    "NoAnswer",
    "NotHeld",
    "OrderedFound",
    "Progress",
    "PublishEvents",
    "Published",
    "Quiesce",
    "Quiesced",
    "RawEvent",
    "Reconcile",
    "ReencryptSecrets",
    "RefreshHooks",
    "Refused",
    "RefusedByActor",
    "Release",
    "RemoveHook",
    "RetireSecret",
    "Routed",
    "SecretsReencrypted",
    "Subscribe",
    "TableListed",
    "WhichAttempts",
    "ZoneChanges",
]

MODULES = (
    *("metrics", "operations", "hooks", "secrets", "retries", "attempts", "events", "failures"),
    "hook_streams",
)
"""Those that commands need are first."""


def __getattr__(name: str) -> Any:
    """A message, from the module that has it (PEP 562)."""
    if name in __all__:
        for place in (*(f"{__name__}.{module}" for module in MODULES), "callboard.admin"):
            if (found := getattr(import_module(place), name, None)) is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
