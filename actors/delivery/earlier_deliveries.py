"""What an earlier version has left: deliveries of ordered hooks in the retry queue.

It kept the order in memory, and deferred such deliveries like all others (docs/adr/0041).
"""

import time
from collections.abc import Callable
from typing import Any

from callboard.actors.delivery.ordered_queues import (
    delay_queue,
    due_queue,
    message_for,
    ordered_queue,
)
from callboard.adapters.broker.brokers import relocate
from callboard.adapters.broker.protocol import BrokerError, OutgoingMessage, Queue
from callboard.adapters.local.ordered_file import OrderedFile
from callboard.config.server_urls import broker_url
from callboard.config.settings import Settings
from callboard.config.time_limits import take_over_s
from callboard.webhooks.retries.delay_classes import DELAY_CLASSES
from callboard.webhooks.retries.earlier_order import in_probable_order, is_of_ordered_hook
from callboard.webhooks.retries.ordered_queue import HookKey
from callboard.webhooks.retries.retry_message import as_json


def take_over(
    settings: Settings, file: OrderedFile, add_queue: Callable[[HookKey], object], log: Any
) -> None:
    """Put what an earlier version has deferred for ordered hooks into their queues, once.

    So it is ahead of all that comes from now on, if the retry queue connects afterwards. Without
    the broker it is not ahead, but delivered when it is due. Blocks for `take_over_s`.

    `add_queue` is called for each hook whose queue gets deliveries.
    """

    def arranged(messages: list[bytes]) -> list[tuple[Queue, OutgoingMessage]]:
        moved = []
        for item in in_probable_order(messages, int(time.time() * 1000)):
            add_queue((item.delivery.account_id, item.delivery.hook_id))
            queue = ordered_queue(settings, item.delivery.hook_id)
            moved.append((queue, message_for(queue.name, item, as_json(item))))
        return moved

    try:
        count = relocate(
            broker_url(settings),
            settings.data.dir,
            (due_queue(settings), *(delay_queue(settings, name) for name in DELAY_CLASSES)),
            is_of_ordered_hook,
            arranged,
            take_over_s(settings),
        )
    except BrokerError as problem:
        log.warning("earlier_order_unknown", reason=str(problem))
    else:
        file.used()
        if count:
            log.info("ordered_taken_over", deliveries=count)
