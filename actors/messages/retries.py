"""Deferred deliveries, and deliveries that are due again."""

from typing import TYPE_CHECKING

from attrs import field, frozen

from callboard.webhooks.acknowledgement.receipts import Source
from callboard.webhooks.acknowledgement.releases import Released
from callboard.webhooks.retries.retry_message import RetryMessage

if TYPE_CHECKING:
    from callboard.admin import WaitingDelivery


@frozen
class DueBatch:
    """RetryQueue to Deliverer: due deliveries by delivery tag, to be settled at `source`.

    Those of an ordered hook are in order. `cancelled`: those to record as cancelled instead of
    sending them, with the reason. `refused`: those to give up, with the reason, and the size of a
    payload that is too large to be recorded. `change`: the hook table's latest change that `items`
    take into account.
    """

    share: str
    source: Source
    items: tuple[tuple[int, RetryMessage], ...] = field(repr=False)
    cancelled: tuple[tuple[int, RetryMessage, str], ...] = field(default=(), repr=False)
    change: int = 0
    refused: tuple[tuple[int, RetryMessage, str, int | None], ...] = field(default=(), repr=False)


@frozen
class Release:
    """EventBridge to RetryQueue: these deliveries may go into the queues of their hooks, in order.

    `bridge`: its incarnation. The rest is as in `Releases.release`: a later message replaces an
    earlier one, so that none needs to be repeated.
    """

    bridge: int
    number: int
    before: int
    released: Released = field(repr=False)


@frozen
class Defer:
    """Deliverer to RetryQueue: store these durably until they are due. -> `Deferred`.

    `deliverer`: its path and incarnation. Repeats of an unconfirmed batch are ignored.
    """

    batch: int
    deliverer: tuple[str, int]
    items: tuple[RetryMessage, ...] = field(repr=False)


@frozen
class Deferred:
    """RetryQueue to Deliverer: the broker has confirmed all messages of that batch."""

    batch: int


@frozen
class ListHookQueues:
    """To RetryQueue: the queues of ordered and paused hooks in which deliveries wait.

    -> `HookQueues`. Of one hook or account, or all. `text`: as in `admin.ListWaiting`.
    """

    hook_id: str | None = None
    account_id: str | None = None
    text: str = ""


@frozen
class HookQueue:
    """A queue of a hook at the broker, with `count` deliveries.

    `deliveries`: the first of them, as far as this node has taken them from the broker, that have
    the text; of the others only their number is known.
    """

    account_id: str
    hook_id: str
    paused: bool
    count: int
    deliveries: tuple["WaitingDelivery", ...] = field(default=(), repr=False)


@frozen
class HookQueues:
    """RetryQueue's response, at most `ordered_queues.LISTED` of each."""

    queues: tuple[HookQueue, ...]
