"""Which hooks fail too often: failed tries in a sliding window (webhooks_disabler)."""

from collections.abc import Iterable, Mapping

from attrs import frozen

TOO_MANY_FAILURES = "too many failed attempts"
"""The `pvt_disabled_message` of a hook that was disabled for its failures."""

MAX_TIMES = 10_000
"""Failures remembered of one hook; no threshold is larger."""

HookKey = tuple[str, str]
"""(account id, hook id)"""


@frozen
class Limits:
    """An account's rule: `count` failures within `expiry_ms` disable a hook."""

    count: int = 6
    expiry_ms: int = 60_000


class FailureWindow:
    """Failed tries by hook; times are Gregorian milliseconds, and two in one are one."""

    def __init__(self) -> None:
        self._times: dict[HookKey, dict[int, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._times.values()))

    def record(self, account_id: str, hook_id: str, at_ms: int) -> None:
        """A try failed."""
        times = self._times.setdefault((account_id, hook_id), {})
        times[at_ms] = None
        if len(times) > MAX_TIMES:
            del times[next(iter(times))]

    def times(self) -> dict[HookKey, tuple[int, ...]]:
        """When each hook failed."""
        return {key: tuple(times) for key, times in self._times.items()}

    def flush(self, account_id: str, hook_id: str | None = None) -> int:
        """Forget an account's failures, or one hook's; how many there were."""
        keys = [
            key for key in self._times if key[0] == account_id and hook_id in (None, key[1])
        ]
        return sum(len(self._times.pop(key)) for key in keys)

    def prune(self, before_ms: int) -> None:
        """Forget what is older."""
        for key, times in list(self._times.items()):
            kept = {at: None for at in times if at >= before_ms}
            if kept:
                self._times[key] = kept
            else:
                del self._times[key]


def overdue(
    failures: Mapping[HookKey, Iterable[int]], limits: Mapping[str, Limits], now_ms: int
) -> list[HookKey]:
    """The hooks that failed at least as often, lately, as their account's limits allow."""
    found = []
    for (account_id, hook_id), times in failures.items():
        limit = limits.get(account_id, Limits())
        if sum(at > now_ms - limit.expiry_ms for at in times) >= limit.count:
            found.append((account_id, hook_id))
    return found
