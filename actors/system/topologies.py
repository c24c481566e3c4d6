"""All that a node declares at its broker, in one table: for the doctor, and to be counted."""

from collections.abc import Mapping

from callboard.actors.base.event_modules import event_modules
from callboard.actors.delivery import ordered_queues, retry_queue
from callboard.actors.events import bridge
from callboard.actors.failures import failure_cache
from callboard.actors.hooks import listener
from callboard.actors.messages.paths import (
    EVENT_BRIDGE,
    FAILURE_CACHE,
    HOOK_LISTENER,
    INITIALIZER,
    MAINTENANCE,
    RETRY_QUEUE,
)
from callboard.actors.operations import doc_type_update, initializer
from callboard.adapters.broker.protocol import Exchange, Queue, Topology
from callboard.adapters.broker.queues import delay_arguments
from callboard.config.settings import Settings


def topologies(settings: Settings) -> Mapping[str, Topology]:
    """What each actor declares, by its path; the other actors only publish.

    The initializer does so only while there is no master account. An actor for another zone
    declares what the hook listener follows, at that zone's broker.
    """
    return {
        FAILURE_CACHE: failure_cache.topology(settings),
        HOOK_LISTENER: listener.topology(settings),
        EVENT_BRIDGE: bridge.topology(settings, event_modules(settings).modules),
        MAINTENANCE: doc_type_update.topology(settings),
        RETRY_QUEUE: retry_queue.topology(settings),
        INITIALIZER: initializer.ACCOUNTS,
    }


def exchanges(settings: Settings) -> tuple[Exchange, ...]:
    """Every exchange that a node declares."""
    found = topologies(settings).values()
    return tuple(dict.fromkeys(each for topology in found for each in topology.exchanges))


def queues(settings: Settings) -> tuple[Queue, ...]:
    """Every queue that a node declares, the last being that of an ordered hook without an id.

    Each ordered or paused hook has one of its kind.
    """
    found: list[Queue] = []
    for topology in topologies(settings).values():
        found += [Queue(each.name, arguments=delay_arguments(each)) for each in topology.delays]
        found += [topology.queue] if topology.queue else []
    return (*found, ordered_queues.ordered_queue(settings, ""))
