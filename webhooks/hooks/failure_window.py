"""Which hooks fail too often: failed attempts in a sliding window (webhooks_disabler)."""

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from heapq import nsmallest
from typing import Any

from attrs import frozen

from callboard.webhooks.values.json_values import as_int

TOO_MANY_FAILURES = "too many failed attempts"
"""The `pvt_disabled_message` of a hook that was disabled for its failures."""

MAX_TIMES = 10_000
"""The most failures to remember for one hook; no threshold is larger."""
MAX_FAILURES = 1_000_000
"""The most failures to remember for all hooks together."""

DEFAULT_EXPIRY_MS = 60_000
MAX_EXPIRY_MS = 366 * 86_400_000
"""For the pause between counts: an integer of JSON may be beyond all floats."""

HookKey = tuple[str, str]
"""(account id, hook id)"""
FailedAttempt = tuple[str, str, int]
"""(account id, hook id, Gregorian milliseconds)"""
Flush = tuple[str, str | None]
"""(account id, hook id): forget this hook's failures; None: those of all the account's hooks."""


@frozen
class Limits:
    """An account's rule: `count` failures within `expiry_ms` disable a hook."""

    count: int = 6
    expiry_ms: int = DEFAULT_EXPIRY_MS

    @property
    def reached_at(self) -> int:
        """The number of failures that disables a hook."""
        return max(1, min(self.count, MAX_TIMES))


def account_limits(
    own: Mapping[str, Any] | None, reseller: Mapping[str, Any] | None, system: Limits
) -> Limits:
    """An account's limits, from its and its reseller's `configs_webhooks` documents.

    The account's own document decides, else the reseller's; keys missing in that document take the
    system's values (Kazoo skips the reseller there). An expiry that is not an integer counts as a
    minute; a count that is not an integer counts as more than the system's.
    """
    document = own if own is not None else reseller if reseller is not None else {}
    count, expiry_ms = system.count, system.expiry_ms
    if document.get("attempt_failure_count") is not None:
        number = as_int(document["attempt_failure_count"])
        count = system.count + 1 if number is None else number
    if document.get("attempt_failure_expiry_ms") is not None:
        number = as_int(document["attempt_failure_expiry_ms"])
        expiry_ms = DEFAULT_EXPIRY_MS if number is None else number
    return Limits(count, expiry_ms)


def counting_pause_s(expiry_ms: Any) -> float:
    """The pause in seconds between counts of the failures, by the system's expiry.

    Four counts per expiry (Kazoo: attempt_failure_expiry_ms div 4), and at most one a second. An
    expiry that is not an integer counts as a minute, as for an account.
    """
    number = as_int(expiry_ms)
    return max(1.0, min(DEFAULT_EXPIRY_MS if number is None else number, MAX_EXPIRY_MS) / 4000)


class FailureWindow:
    """Failed attempts by hook. Times are Gregorian milliseconds; equal times count once.

    Its memory is bounded: the latest MAX_TIMES of a hook are kept, and beyond `most` in all the
    hook with the oldest latest failure is forgotten.
    """

    def __init__(self, most: int = MAX_FAILURES) -> None:
        self._most = most
        self._times: OrderedDict[HookKey, dict[int, None]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def record(self, account_id: str, hook_id: str, at_ms: int) -> None:
        """Record a failed attempt."""
        key = account_id, hook_id
        times = self._times.setdefault(key, {})
        self._times.move_to_end(key)
        self._size -= len(times)
        times[at_ms] = None
        if len(times) > MAX_TIMES:
            del times[next(iter(times))]
        self._size += len(times)
        while self._size > self._most:
            self._forget(next(iter(self._times)))

    def times(self) -> dict[HookKey, tuple[int, ...]]:
        """The times of each hook's failures."""
        return {key: tuple(times) for key, times in self._times.items()}

    def count(self, account_id: str, hook_id: str, since_ms: int) -> int:
        """The number of a hook's failures after this time."""
        return _count_after(self._times.get((account_id, hook_id), ()), since_ms)

    def keys(self, account_id: str | None, after: HookKey | None, limit: int) -> list[HookKey]:
        """The hooks with failures, by account and id, after the key `after`; at most `limit`."""
        wanted = (
            key
            for key in self._times
            if (account_id is None or key[0] == account_id) and (after is None or key > after)
        )
        return nsmallest(limit, wanted)

    def flush(self, account_id: str, hook_id: str | None = None) -> int:
        """Forget an account's failures, or one hook's; returns their number."""
        if hook_id is not None:
            return self._forget((account_id, hook_id))
        return sum(self._forget(key) for key in list(self._times) if key[0] == account_id)

    def prune(self, before_ms: int) -> None:
        """Forget failures before this time."""
        for key, times in list(self._times.items()):
            kept = {at: None for at in times if at >= before_ms}
            if kept:
                self._times[key] = kept
                self._size -= len(times) - len(kept)
            else:
                self._forget(key)

    def _forget(self, key: HookKey) -> int:
        forgotten = len(self._times.pop(key, ()))
        self._size -= forgotten
        return forgotten


def overdue(
    failures: Mapping[HookKey, Iterable[int]], limits: Mapping[str, Limits], now_ms: int
) -> list[HookKey]:
    """The hooks whose recent failures reach their account's limit.

    A hook without a recent failure is never included, whatever the limits. Failures in the future
    are ignored, apart from a small tolerance for clock differences between nodes: the clock was set
    back.
    """
    found = []
    for key, times in failures.items():
        limit = limits.get(key[0], Limits())
        if len(_recent(times, limit, now_ms)) >= limit.reached_at:
            found.append(key)
    return found


@frozen
class Failing:
    """A hook's recent failures: their number, and the time of the first (Gregorian ms)."""

    count: int
    first_ms: int
    limit: Limits


def failing(
    failures: Mapping[HookKey, Iterable[int]], limits: Mapping[str, Limits], now_ms: int
) -> dict[HookKey, Failing]:
    """The hooks whose recent failures reach half of their account's limit."""
    found = {}
    for key, times in failures.items():
        limit = limits.get(key[0], Limits())
        recent = _recent(times, limit, now_ms)
        if 2 * len(recent) >= limit.reached_at and recent:
            found[key] = Failing(len(recent), min(recent), limit)
    return found


def _recent(times: Iterable[int], limit: Limits, now_ms: int) -> list[int]:
    return [at for at in times if abs(now_ms - at) < limit.expiry_ms]


def _count_after(times: Iterable[int], since_ms: int) -> int:
    return sum(at > since_ms for at in times)


@frozen
class Shared:
    """A message from one node to the others; `origin` identifies the sender's memory."""

    origin: str
    failures: tuple[FailedAttempt, ...]
    flushes: tuple[Flush, ...]


class NotShared(ValueError):
    """A message that no Callboard node has sent."""


def shared_body(
    origin: str, failures: Iterable[FailedAttempt], flushes: Iterable[Flush]
) -> dict[str, Any]:
    """The JSON of a message to the other nodes; `read_shared` reads it."""
    return {"Origin": origin, "Failures": list(failures), "Flushes": list(flushes)}


def read_shared(body: bytes) -> Shared:
    """The message of another node. Raises NotShared."""
    try:
        value = json.loads(body)
        return Shared(
            str(value["Origin"]),
            tuple((str(account), str(hook), int(at)) for account, hook, at in value["Failures"]),
            tuple(
                (str(account), None if hook is None else str(hook))
                for account, hook in value["Flushes"]
            ),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as problem:
        raise NotShared(f"{type(problem).__name__}: {problem}") from None
