"""The order of the deliveries that an earlier version left for ordered hooks (docs/adr/0041).

It attempted one delivery of a hook at a time, and up to `ROOM` behind it waited in memory. It
deferred those that found no room at once. If the first was not to be attempted soon, it deferred
those in memory, too, in one go: the latest first.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from attrs import evolve

from callboard.webhooks.retries.retry_message import (
    RetryMessage,
    UnreadableDelivery,
    from_json,
)

ROOM = 20
"""The most deliveries of a hook that waited in memory."""
TOGETHER_MS = 10
"""Deliveries that were deferred in one go have times that differ by less from one to the next."""
SWEEP_MS = 1_000
"""The time between two deferrals of those in memory; those without room came in between."""


def is_of_ordered_hook(message: bytes) -> bool:
    """Whether it is a delivery of a hook that was ordered when it was deferred."""
    if b'"ordered":true' not in message:
        return False  # Quotes within texts are escaped.
    try:
        return from_json(message).delivery.options.ordered
    except UnreadableDelivery:
        return False


def in_probable_order(messages: Iterable[bytes], now_unix_ms: int) -> list[RetryMessage]:
    """The deliveries of these messages, those of each hook in the probable order of their events.

    `messages`: in the order of their publication. Those not attempted so far are due now.
    """
    of_hooks: dict[str, list[RetryMessage]] = defaultdict(list)
    for message in messages:
        retry = from_json(message)
        of_hooks[retry.delivery.hook_id].append(retry)
    found = []
    for retries in of_hooks.values():
        retries.sort(key=lambda retry: retry.taken_at_ms)
        found += [retry for retry in retries if retry.attempts_made]
        deferred = [retry for retry in retries if not retry.attempts_made]
        for retry in _in_order(_deferred_together(deferred)):
            found.append(evolve(retry, due_ms=now_unix_ms, left=()))
    return found


def _deferred_together(retries: Iterable[RetryMessage]) -> list[list[RetryMessage]]:
    groups: list[list[RetryMessage]] = []
    for retry in retries:
        if groups and retry.taken_at_ms - groups[-1][-1].taken_at_ms < TOGETHER_MS:
            groups[-1].append(retry)
        else:
            groups.append([retry])
    return groups


def _in_order(groups: Sequence[list[RetryMessage]]) -> list[RetryMessage]:
    """Groups that were in memory are reversed, and before those that then found no room."""
    found: list[RetryMessage] = []
    without_room: list[RetryMessage] = []
    for at, group in enumerate(groups):
        next_ms = group[0].taken_at_ms + SWEEP_MS
        soon = (other for other in groups[at + 1 :] if other[0].taken_at_ms < next_ms)
        if len(group) > ROOM or any(len(other) == ROOM for other in soon):
            without_room += group
        else:
            found += [*reversed(group), *without_room]
            without_room = []
    return found + without_room
