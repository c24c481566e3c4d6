"""A deliverer's deliveries in progress, and those known to be finished or deferred."""

from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Protocol

from attrs import Factory, define

from callboard.webhooks.acknowledgement.receipts import Receipt, Receipts
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.dispatch.dispatcher import Turn, endpoint_of
from callboard.webhooks.retries.policy import Policy, max_attempts, policy_of
from callboard.webhooks.retries.retry_message import RetryMessage, in_time

REMEMBERED = 20_000
"""The most finished delivery ids to remember, so that redelivered events are not repeated.

As many deferred ids are remembered, too.
"""

RECENT_S = 3600.0
"""How long an id is remembered.

Redeliveries after a crash arrive within seconds of the restart; a later repeat may be intended.
"""


class Finished(Protocol):
    """Ids of deliveries finished by any deliverer; it may forget old ones."""

    def add(self, id: str, /) -> None:
        """Record this delivery as finished."""

    def __contains__(self, id: str, /) -> bool:
        """Whether this delivery is known to be finished."""


@define
class Job:
    """A delivery in progress. `receipts` wait for it to be settled.

    `deferrals`: how many times it was deferred; `leaving`: its deferral is in progress. `headers`:
    those of the last attempt; `history`: as in `RetryMessage`; `turn`: set while it is in flight.
    `taken_at`: when its event arrived, by the monotonic clock; None if it came from the retry
    queue. `taken_ms`: the same as Unix ms, of a delivery that was deferred before. `outdated`: its
    hook has changed meanwhile, so that its next attempt begins in the retry queue.
    """

    delivery: Delivery
    endpoint: str
    policy: Policy
    attempts_made: int = 0
    deferred_since_s: float | None = None
    deferrals: int = 0
    history: tuple[tuple[int, str], ...] = ()
    leaving: bool = False
    receipts: list[Receipt] = Factory(list)
    headers: tuple[tuple[str, str], ...] = ()
    turn: "Turn[Job] | None" = None
    taken_at: float | None = None
    taken_ms: int | None = None
    outdated: bool = False

    @property
    def hook(self) -> tuple[str, str]:
        """The hook's account and id."""
        return self.delivery.account_id, self.delivery.hook_id

    @property
    def ordered(self) -> bool:
        """Whether its hook's queue waits for its end (retries/ordered_queue.py)."""
        return self.delivery.options.ordered

    @property
    def queue(self) -> str:
        """The queue of the dispatcher where it waits."""
        return queue_of(self.delivery)

    @property
    def attempts_left(self) -> int:
        """The number of attempts that remain."""
        return max_attempts(self.policy, self.delivery) - self.attempts_made

    def defer(self, after_ms: int, now_unix_s: float, clock: float = 0.0) -> RetryMessage:
        """The message for the retry queue, to return after `after_ms`.

        `clock`: the monotonic clock, for the time since its event was taken.
        """
        self.leaving = True
        if self.taken_ms is None:
            passed_s = 0.0 if self.taken_at is None else clock - self.taken_at
            self.taken_ms = int((now_unix_s - max(passed_s, 0.0)) * 1000)
        self.deferrals += 1
        due_ms, left = in_time(after_ms, now_unix_s)
        since_s = self.deferred_since_s
        return RetryMessage(
            self.delivery,
            self.attempts_made,
            due_ms,
            left,
            None if since_s is None else int(since_s * 1000),
            self.deferrals,
            self.history,
            self.taken_ms,
        )


def queue_of(delivery: Delivery) -> str:
    """The queue of the dispatcher for a delivery: those in order wait apart."""
    return f"{delivery.hook_id} in order" if delivery.options.ordered else delivery.hook_id


class Jobs:
    """Jobs by delivery id. Settled receipts are reported to `receipts`.

    `policy`: the name of the policy of deliveries that name none; `steps_s`: those of `standard`.
    `finished`: further finished ids, shared with other deliverers. `clock`: seconds, monotonic.
    """

    def __init__(
        self,
        receipts: Receipts,
        policy: str,
        steps_s: tuple[float, ...],
        finished: Finished,
        clock: Callable[[], float],
    ) -> None:
        self._receipts, self._policy, self._steps_s = receipts, policy, steps_s
        self._jobs: dict[str, Job] = {}
        self._clock = clock
        self._finished: OrderedDict[str, float] = OrderedDict()
        self._finished_anywhere = finished
        self._away: OrderedDict[str, float] = OrderedDict()
        self.repeats = 0
        """The number of deliveries that were already known as finished or deferred."""
        self.deferrals = 0
        """The number of deferrals that were persisted."""

    def __len__(self) -> int:
        """The number of deliveries in progress."""
        return len(self._jobs)

    def take(
        self, delivery: Delivery, receipt: Receipt, retry: RetryMessage | None = None
    ) -> Job | None:
        """Take a delivery, from the retry queue with its state so far; returns the job to start.

        None if there is nothing to start: it is finished, in progress, or deferred and still to
        return.
        """
        job = self._jobs.get(delivery.id)
        if job is not None and retry is not None and self._is_back(job, retry):
            self.deferred(job)
            job = None
        away = retry is None and self._knows(self._away, delivery.id)
        if away or self._is_finished(delivery.id):
            self.repeats += 1
            self._receipts.settle(receipt)
            return None
        if job is not None:
            job.receipts.append(receipt)
            return None
        self._away.pop(delivery.id, None)
        job = self._jobs[delivery.id] = self._job(delivery, retry)
        job.receipts.append(receipt)
        return job

    def of_hooks(self, keys: Collection[tuple[str, str]]) -> list[Job]:
        """The deliveries in progress of these hooks, by account and id."""
        return [job for job in self._jobs.values() if job.hook in keys]

    def is_leaving(self, delivery: Delivery) -> bool:
        """Whether it is in progress, and on its way to the retry queue."""
        job = self._jobs.get(delivery.id)
        return job is not None and job.leaving

    def hooks(self) -> set[tuple[str, str]]:
        """The hooks of all deliveries in progress, by account and id."""
        return {job.hook for job in self._jobs.values()}

    def finish(self, job: Job) -> None:
        """Settle a finished delivery's receipts."""
        self._remember(self._finished, job.delivery.id)
        self._finished_anywhere.add(job.delivery.id)
        self._settle(job)

    def deferred(self, job: Job) -> None:
        """Record that the retry queue has persisted a delivery; ignored if it has returned."""
        if self._jobs.get(job.delivery.id) is job:
            self.deferrals += 1
            self._remember(self._away, job.delivery.id)
            self._settle(job)

    def _is_finished(self, id: str) -> bool:
        return self._knows(self._finished, id) or id in self._finished_anywhere

    def _knows(self, ids: "OrderedDict[str, float]", id: str) -> bool:
        since = ids.get(id)
        return since is not None and self._clock() - since <= RECENT_S

    def _remember(self, ids: "OrderedDict[str, float]", id: str) -> None:
        ids[id] = self._clock()
        ids.move_to_end(id)
        if len(ids) > REMEMBERED:
            ids.popitem(last=False)

    @staticmethod
    def _is_back(job: Job, retry: RetryMessage) -> bool:
        """Whether the message is the one just deferred, returned before its confirmation."""
        return job.leaving and retry.deferrals >= job.deferrals

    def _job(self, delivery: Delivery, retry: RetryMessage | None) -> Job:
        policy = policy_of(delivery.options, self._policy, self._steps_s)
        job = Job(delivery, endpoint_of(delivery.uri), policy)
        if retry is not None:
            job.attempts_made, job.deferrals, job.history = (
                retry.attempts_made,
                retry.deferrals,
                retry.history,
            )
            job.taken_ms = retry.taken_at_ms
            if retry.deferred_since_ms is not None:
                job.deferred_since_s = retry.deferred_since_ms / 1000
        return job

    def _settle(self, job: Job) -> None:
        if self._jobs.get(job.delivery.id) is job:
            del self._jobs[job.delivery.id]
        for receipt in job.receipts:
            self._receipts.settle(receipt)
