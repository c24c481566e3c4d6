"""What the present state of its hook means for a delivery that waits (docs/adr/0037)."""

from collections.abc import Collection, Mapping
from typing import Any

from attrs import evolve, frozen

from callboard.webhooks.deliveries.encoding import NotConvertible
from callboard.webhooks.deliveries.presenting import presented
from callboard.webhooks.hooks.hook import (
    Hook,
    InvalidHook,
    is_auto_disabled,
    is_deleted,
    is_enabled,
    parse_hook,
)
from callboard.webhooks.hooks.options import cancelled_until
from callboard.webhooks.retries.outcome import GiveUp
from callboard.webhooks.retries.policy import Random, deferral
from callboard.webhooks.retries.retry_message import RetryMessage, in_time

DELETED, DISABLED = "hook deleted", "hook disabled"
BY_REQUEST = "cancelled on request"


@frozen
class Ready:
    """The hook may be called."""

    hook: Hook


@frozen
class Held:
    """The hook may not be called at present: it was disabled for its failures, or is invalid.

    `cancelled_until_ms`: deliveries taken up to this time are cancelled (Unix ms; 0: none).
    """

    reason: str
    cancelled_until_ms: int = 0


@frozen
class Ended:
    """The hook was deleted, or disabled by a person."""

    reason: str


@frozen
class Unknown:
    """The hook was never stored: a callflow's event contained it."""


Standing = Ready | Held | Ended | Unknown


@frozen
class Send:
    """Send the delivery now."""

    retry: RetryMessage


@frozen
class Wait:
    """Store the delivery until it is due again, for this reason."""

    retry: RetryMessage
    reason: str


@frozen
class Cancel:
    """Record that the delivery will not be sent."""

    retry: RetryMessage
    reason: str


def standing(document: Mapping[str, Any] | None, known_events: Collection[str]) -> Standing:
    """The state of a stored hook; `None` as the document: there is none."""
    if document is None or is_deleted(document):
        return Ended(DELETED)
    if is_auto_disabled(document):
        return Held(DISABLED, cancelled_until(document))
    if not is_enabled(document):
        return Ended(DISABLED)
    try:
        return Ready(parse_hook(document, known_events))
    except InvalidHook as problem:
        return Held(f"hook invalid: {problem.reason}", cancelled_until(document))


def judged(
    retry: RetryMessage, standing: Standing, now_unix_s: float, most_s: float, random: Random
) -> Send | Wait | Cancel:
    """The fate of a delivery that is due.

    `most_s`: after this time of deferrals a held delivery is cancelled (`delivery.park_hours`).
    """
    match standing:
        case Unknown():
            return Send(retry)
        case Ended(reason):
            return Cancel(retry, reason)
        case Held(reason, cancelled_until_ms):
            if retry.taken_at_ms <= cancelled_until_ms:
                return Cancel(retry, BY_REQUEST)
            return held(retry, reason, now_unix_s, most_s, random)
        case Ready(hook):
            if retry.taken_at_ms <= hook.options.cancelled_until_ms:
                return Cancel(retry, BY_REQUEST)
            try:
                delivery = presented(retry.delivery, hook)
            except NotConvertible as problem:
                return Cancel(retry, str(problem))
            return Send(evolve(retry, delivery=delivery))


def held(
    retry: RetryMessage, reason: str, now_unix_s: float, most_s: float, random: Random
) -> Wait | Cancel:
    """Let a delivery wait for its hook, more and more rarely; after `most_s` it is cancelled."""
    now_ms = int(now_unix_s * 1000)
    since_ms = retry.deferred_since_ms
    if since_ms is None or since_ms > now_ms:  # The clock was set back.
        since_ms = now_ms
    then = deferral(since_ms / 1000, now_unix_s, retry.deferrals, most_s, random)
    if isinstance(then, GiveUp):
        return Cancel(retry, f"{reason} for {round(now_unix_s - since_ms / 1000)} s")
    due_ms, left = in_time(then.after_ms, now_unix_s)
    return Wait(
        evolve(
            retry,
            due_ms=due_ms,
            left=left,
            deferred_since_ms=since_ms,
            deferrals=retry.deferrals + 1,
        ),
        reason,
    )
