"""Reports accounts that have reached a quota, as operational events."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from callboard.webhooks.hooks.quotas import SECTION
from callboard.webhooks.modules.operational import OperationalEvent, account_quota
from callboard.webhooks.values.kazoo_names import gregorian_s

PERIOD_S = 3600
"""A quota of an account is reported once in this time, by each node."""
MAX_REMEMBERED = 10_000
"""How many reports are remembered; beyond, the oldest is forgotten."""


class QuotaReports:
    """Calls `report` for the first refusal of an account by a quota in each hour.

    Threads may share it.
    """

    def __init__(
        self,
        report: Callable[[Sequence[OperationalEvent]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._report, self._clock = report, clock
        self._periods: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._lock = threading.Lock()

    def refused(self, account_id: str, setting: str, reason: str) -> None:
        """A request was refused because of this setting. Ignored if it is no quota."""
        if not setting.startswith(f"{SECTION}."):
            return
        now = gregorian_s(self._clock())
        key, period = (account_id, setting), now // PERIOD_S
        with self._lock:
            if self._periods.get(key) == period:
                return
            self._periods[key] = period
            self._periods.move_to_end(key)
            while len(self._periods) > MAX_REMEMBERED:
                self._periods.popitem(last=False)
        self._report([account_quota(account_id, setting, reason, now, PERIOD_S)])
