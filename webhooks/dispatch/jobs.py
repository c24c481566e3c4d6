"""A deliverer's deliveries in progress, and the state of earlier ones."""

import math
from collections.abc import Collection
from typing import Protocol

from attrs import Factory, define, frozen

from callboard.webhooks.acknowledgement.receipts import Receipt, Receipts
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.dispatch.dispatcher import Turn
from callboard.webhooks.hooks.uris import endpoint_of
from callboard.webhooks.retries.policy import Policy, max_attempts, policy_of
from callboard.webhooks.retries.retry_message import RetryMessage, in_time

RECENT_S = 3600.0
"""How long an id is remembered.

Redeliveries after a crash arrive within seconds of the restart; a later repeat may be intended.
"""


@frozen
class Finished:
    """The delivery has succeeded, or is recorded as exhausted or cancelled."""


@frozen
class Answered:
    """The attempt with this number got a response, which did not finish the delivery yet."""

    attempts: int
    status: int


@frozen
class Deferred:
    """The retry queue has the delivery; `deferrals`: at least so often, it was deferred."""

    deferrals: int


Known = Finished | Answered | Deferred | None


class Journal(Protocol):
    """The state of deliveries of any deliverer of the node; it may forget old ones."""

    def add(self, id: str, /) -> None:
        """Record this delivery as finished."""

    def answered(self, id: str, attempts: int, status: int, /) -> None:
        """Record that this attempt got a response."""

    def deferred(self, id: str, deferrals: int, /) -> None:
        """Record that the retry queue has the delivery."""

    def known(self, id: str, /) -> Known:
        """The latest state of the delivery that is known."""


@define
class Job:
    """A delivery in progress. `receipts` wait for it to be settled.

    `deferrals`: how many times it was deferred; `leaving`: its deferral is in progress. `headers`:
    those of the last attempt; `history`: as in `RetryMessage`; `turn`: set while it is in flight.
    `taken_at`: when its event arrived, by the monotonic clock; None if it came from the retry
    queue. `taken_ms`: the same as Unix ms, of a delivery that was deferred before. `outdated`: its
    hook has changed meanwhile, so that its next attempt begins in the retry queue. `answered`: the
    status of the response to the last attempt, which a deliverer has got that died before the
    consequences were stored. `took_s`: how long the last attempt took, None if that is unknown.
    `held_since`: when its message was taken from the broker, as far as this process knows.
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
    answered: int | None = None
    took_s: float | None = None
    held_since: float = math.inf

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
    `journal`: the state of deliveries, shared with other deliverers.
    """

    def __init__(
        self,
        receipts: Receipts,
        policy: str,
        steps_s: tuple[float, ...],
        journal: Journal,
    ) -> None:
        self._receipts, self._policy, self._steps_s = receipts, policy, steps_s
        self._jobs: dict[str, Job] = {}
        self._journal = journal
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

        None if there is nothing to start: it is finished, in progress, or the retry queue has it,
        possibly as a newer copy. A job with `answered` has made its attempt already.
        """
        job = self._jobs.get(delivery.id)
        if job is not None and retry is not None and self._is_back(job, retry):
            self.deferred(job)
            job = None
        known = self._journal.known(delivery.id)
        if self._is_elsewhere(known, retry):
            self.repeats += 1
            self._receipts.settle(receipt)
            return None
        if job is not None:
            job.receipts.append(receipt)
            return None
        job = self._jobs[delivery.id] = self._job(delivery, retry)
        if isinstance(known, Answered) and known.attempts > job.attempts_made:
            job.attempts_made, job.answered = known.attempts, known.status
        job.receipts.append(receipt)
        return job

    def of_hooks(self, keys: Collection[tuple[str, str]]) -> list[Job]:
        """The deliveries in progress of these hooks, by account and id."""
        return [job for job in self._jobs.values() if job.hook in keys]

    def held_before(self, at: float) -> list[Job]:
        """The deliveries in progress whose messages were taken from the broker before that time."""
        return [job for job in self._jobs.values() if job.held_since < at]

    def holds(self, job: Job) -> bool:
        """Whether this delivery is in progress."""
        return self._jobs.get(job.delivery.id) is job

    def is_leaving(self, delivery: Delivery) -> bool:
        """Whether it is in progress, and on its way to the retry queue."""
        job = self._jobs.get(delivery.id)
        return job is not None and job.leaving

    def hooks(self) -> set[tuple[str, str]]:
        """The hooks of all deliveries in progress, by account and id."""
        return {job.hook for job in self._jobs.values()}

    def finish(self, job: Job) -> None:
        """Settle a finished delivery's receipts."""
        self._journal.add(job.delivery.id)
        self._settle(job)

    def deferred(self, job: Job) -> None:
        """Record that the retry queue has persisted a delivery; ignored if it has returned."""
        if self.holds(job):
            self.deferrals += 1
            if not job.ordered:  # The only copy is in its hook's queue, as it was published.
                self._journal.deferred(job.delivery.id, job.deferrals)
            self._settle(job, is_returned=job.ordered)

    @staticmethod
    def _is_elsewhere(known: Known, retry: RetryMessage | None) -> bool:
        """Whether it is finished, or the retry queue has it, or a newer copy than this one."""
        if isinstance(known, Deferred):
            if retry is not None and retry.delivery.options.ordered:
                return False
            return retry is None or retry.deferrals < known.deferrals
        return isinstance(known, Finished)

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

    def _settle(self, job: Job, *, is_returned: bool = False) -> None:
        if self.holds(job):
            del self._jobs[job.delivery.id]
        for receipt in job.receipts:
            self._receipts.settle(receipt, is_returned=is_returned)
