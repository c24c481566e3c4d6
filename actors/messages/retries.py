"""Deliveries that are deferred, and those that are due again."""

from attrs import field, frozen

from callboard.webhooks.acknowledgement.receipts import Source
from callboard.webhooks.retries.retry_message import Later


@frozen
class DueBatch:
    """RetryQueue to Deliverer: deliveries that came back, by delivery tag, to be settled there."""

    part: str
    source: Source
    items: tuple[tuple[int, Later], ...] = field(repr=False)


@frozen
class PutOff:
    """Deliverer to RetryQueue: keep these durably until they are due. -> `PutOffKept`.

    `deliverer`: its path and incarnation. A batch that is under way already is not kept twice.
    """

    batch: int
    deliverer: tuple[str, int]
    items: tuple[Later, ...] = field(repr=False)


@frozen
class PutOffKept:
    """RetryQueue to Deliverer: the broker has taken responsibility for all of that batch."""

    batch: int
