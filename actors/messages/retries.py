"""Deliveries that are deferred, and those that are due again."""

from attrs import field, frozen

from callboard.webhooks.acknowledgement.receipts import Source
from callboard.webhooks.retries.retry_message import RetryMessage


@frozen
class DueBatch:
    """RetryQueue to Deliverer: deliveries that came back, by delivery tag, to be settled there."""

    share: str
    source: Source
    items: tuple[tuple[int, RetryMessage], ...] = field(repr=False)


@frozen
class Defer:
    """Deliverer to RetryQueue: keep these durably until they are due. -> `Deferred`.

    `deliverer`: its path and incarnation. A batch that is under way already is not kept twice.
    """

    batch: int
    deliverer: tuple[str, int]
    items: tuple[RetryMessage, ...] = field(repr=False)


@frozen
class Deferred:
    """RetryQueue to Deliverer: the broker has taken responsibility for all of that batch."""

    batch: int
