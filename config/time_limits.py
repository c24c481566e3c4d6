"""The time limits of the whole system in one table: which are set, and how others follow from them.

A limit that contains another one must be longer. The constants are here so that this can be seen,
and is checked (tests/config/test_time_limits.py); `check` compares those that depend on settings.
One that has nothing to do with another stays where it is used. Adapters, web and supervision are
given theirs as arguments.
"""

import math

from attrs import frozen

from callboard.config.settings import Settings

START_S = 10.0
"""The most seconds for the start of an actor, which waits for no server."""
TREE_SILENT_S = 30.0
"""The most seconds without a heartbeat of the top supervisor while its tree starts."""
STORE_CALLS = 2
"""Calls of the store that time out while an actor handles one message: the first that fails ends
its work, and one before it may have been slow."""
CONSUMER_TIMEOUTS = 5
"""The broker's consumer_timeout is at least so many times as long as a request."""
REPEATED_S = 60.0
"""Work that an actor has not answered for is sent to it again after this time."""
RECONCILE_S = REPEATED_S / 2
"""The interval for finding such work: the message with it, or with the response, may be lost."""
RESTARTS_WITHIN_S = 10.0
"""The period in which a supervisor counts restarts, and actors the deaths by their messages."""
PROBE_S = 5.0
"""The most seconds for the health check of the store."""
TAKE_OVER_S = 5.0
"""The most seconds for what an earlier version left in the retry queue (docs/adr/0041)."""
BROKER_SET_UP_S = 60.0
"""The most seconds for a connection to RabbitMQ to be up, after which it is opened again."""
LOOK_S = 5.0
"""The interval for finding out whether the broker takes messages, also if there are none."""
APPLY_S = 3.0
"""The most seconds until a changed hook is in effect; then the request gets its response anyway."""
API_APPLY_S = APPLY_S + 1.0
"""The same, with the way from the API and back."""
TEST_ROOM_S = 50.0
"""The most seconds of a test delivery besides its request: it waits for a thread and the store."""

DRAIN_S = 10.0
"""The most seconds for events to settle before the tree is stopped."""
CHILD_STOP_S = 5.0
"""The most seconds for the stop of an actor."""
CLOSE_S = 1.0
"""The most seconds for an actor that stops to close its connection to the broker, and for a thread
of it to close one to the store."""
API_CLIENTS_STOP_S = 2.0
"""The most seconds for requests in progress when the API stops."""
API_STOP_S = 2 * API_CLIENTS_STOP_S
"""The most seconds for the API's server to stop."""
DELIVERER_STOP_S = 12.0
"""The most seconds for requests in flight when a deliverer stops; one that has begun may take the
default of `delivery.request_timeout_ms`."""
REMOTE_SUPERVISOR_STOP_S = DELIVERER_STOP_S + 3.0
"""The most seconds for the stop of the deliverers of a machine that has joined."""
REMOTE_SUPERVISORS_STOP_S = REMOTE_SUPERVISOR_STOP_S + 3.0
"""The same of all machines at the same time, including the end of those that did not stop."""
RESPONDERS_STOP_S = 3 * CHILD_STOP_S
"""The most seconds for the stop of all responders."""
DELIVERIES_STOP_S = 2 * DELIVERER_STOP_S + 1.0
"""The most seconds for the stop of all deliverers, whose requests end at the same time."""
STOP_S = DRAIN_S + DELIVERIES_STOP_S + 2 * CHILD_STOP_S
"""The most seconds for an orderly stop of the whole system; then it is ended anyway."""
EMBEDDED_START_S = 300.0
"""The most seconds for the start of the tree in a host's (embed.py), all actors of it together."""
EMBEDDED_STOP_S = STOP_S + 15.0
"""The most seconds for an orderly stop of the whole system by a host's supervisor."""


@frozen
class TimeLimit:
    """A row of the table. `origin`: the setting, or what the limit follows from."""

    name: str
    seconds: float
    origin: str


def store_call_s(settings: Settings) -> float:
    """How long one call of the store may take."""
    return settings.couchdb.timeout_ms / 1000


def store_wait_s(settings: Settings) -> float:
    """How long an actor may wait for the store while it handles one message."""
    return STORE_CALLS * store_call_s(settings)


def take_over_s(settings: Settings) -> float:
    """How long the retry queue may move what an earlier version left; as if it read the store."""
    return min(TAKE_OVER_S, store_wait_s(settings))


def store_probe_s(settings: Settings) -> float:
    """How long the health check waits for the store."""
    return min(store_call_s(settings), PROBE_S)


def sample_delivery_s(settings: Settings) -> float:
    """How long a client of the API waits for a test delivery, with the look-ups before it."""
    return settings.delivery.request_timeout_ms / 1000 + TEST_ROOM_S


def hang_s(settings: Settings) -> float:
    """How long an actor may be silent."""
    return settings.actors.hang_timeout_ms / 1000


def broker_loss_s(settings: Settings) -> float:
    """When a connection to RabbitMQ that fails silently counts as lost, on either side.

    An actor that waits for the store serves its connection only afterwards: if one response may
    take longer than this, a store that does not respond also costs the connection.
    """
    return 2.0 * settings.amqp.heartbeat_s


def overdue_s(settings: Settings) -> float:
    """When a message that is not acknowledged returns to the broker.

    Before half of the broker's consumer_timeout, with the interval for finding such messages.
    """
    return 0.4 * settings.amqp.consumer_timeout_s


def hold_s(settings: Settings) -> float:
    """How long a delivery may wait in a deliverer, or in the retry queue for its order.

    It may do both one after the other, and then be in a request, before its message is overdue.
    """
    request_s = settings.delivery.request_timeout_ms / 1000
    # The embedded broker has no such timeout, and permits longer requests: see `check`.
    return max(overdue_s(settings) - request_s, overdue_s(settings) / 2) / 2


def check(settings: Settings) -> None:
    """Raise ValueError if settings contradict each other."""
    least_s = CONSUMER_TIMEOUTS * settings.delivery.request_timeout_ms / 1000
    embedded = settings.amqp.url.startswith("memory:")
    if settings.amqp.consumer_timeout_s < least_s and not embedded:
        raise ValueError(
            f"amqp.consumer_timeout_s ({settings.amqp.consumer_timeout_s}) must be at least "
            f"{math.ceil(least_s)}, {CONSUMER_TIMEOUTS} times delivery.request_timeout_ms: "
            "otherwise the broker may end the consumer during a request"
        )
    most_ms = round(REPEATED_S / STORE_CALLS * 1000)
    if settings.couchdb.timeout_ms > most_ms:
        raise ValueError(
            f"couchdb.timeout_ms ({settings.couchdb.timeout_ms}) must be at most {most_ms}: an "
            f"actor may wait for {STORE_CALLS} responses, and after {REPEATED_S:g} s its work is "
            "repeated"
        )


def time_limits(settings: Settings) -> tuple[TimeLimit, ...]:
    """The table, in the order of a run: start, work, stop."""
    delivery = settings.delivery
    reader = f"hang + {STORE_CALLS} x store response"
    connect = "delivery.connect_timeout_ms"
    if not delivery.connect_timeout_ms:
        connect = "connect_timeout_ms of system_config/webhooks, by default"
    rows = (
        ("start of an actor", START_S, "waits for no server"),
        ("silence of the top while the tree starts", TREE_SILENT_S, "more than 2 x start"),
        ("heartbeat of an actor", settings.actors.heartbeat_ms / 1000, "actors.heartbeat_ms"),
        ("hang", hang_s(settings), "actors.hang_timeout_ms; more than heartbeat"),
        (
            "hang of an actor that reads the store",
            hang_s(settings) + store_wait_s(settings),
            reader,
        ),
        ("store response", store_call_s(settings), f"couchdb.timeout_ms; {_most_store()}"),
        ("store health check", store_probe_s(settings), f"store response, at most {PROBE_S:g} s"),
        (
            "take-over of an earlier version's deliveries",
            take_over_s(settings),
            f"{STORE_CALLS} x store response, at most {TAKE_OVER_S:g} s",
        ),
        ("comparison with the store", settings.couchdb.compare_s, "couchdb.compare_s"),
        ("restarts are counted", RESTARTS_WITHIN_S, "fixed"),
        ("set-up of a connection to the broker", BROKER_SET_UP_S, "fixed"),
        ("search for unanswered work", RECONCILE_S, "half of repetition of unanswered work"),
        ("repetition of unanswered work", REPEATED_S, f"at least {STORE_CALLS} x store response"),
        ("changed hook in effect", APPLY_S, "fixed"),
        ("changed hook in effect, for the API", API_APPLY_S, "changed hook in effect + 1 s"),
        ("silent loss of the broker", broker_loss_s(settings), "2 x amqp.heartbeat_s"),
        ("look for a block of the broker", LOOK_S, "fixed"),
        (
            "message returns to the broker",
            overdue_s(settings),
            "below half of amqp.consumer_timeout_s",
        ),
        (
            "wait of a delivery in a deliverer",
            hold_s(settings),
            "(message returns to the broker - request to an endpoint) / 2",
        ),
        ("connection to an endpoint", (delivery.connect_timeout_ms or 10_000) / 1000, connect),
        (
            "request to an endpoint",
            delivery.request_timeout_ms / 1000,
            "delivery.request_timeout_ms",
        ),
        (
            "test delivery, for the API",
            sample_delivery_s(settings),
            f"request to an endpoint + {TEST_ROOM_S:g} s",
        ),
        ("settling of events at a stop", DRAIN_S, "fixed"),
        ("stop of an actor", CHILD_STOP_S, "fixed"),
        ("close of a connection at a stop", CLOSE_S, "fixed; below stop of an actor"),
        ("stop of the API", API_STOP_S, f"2 x {API_CLIENTS_STOP_S:g} s; below stop of an actor"),
        ("stop of a deliverer", DELIVERER_STOP_S, "default of delivery.request_timeout_ms + 2 s"),
        (
            "stop of the deliverers of another machine",
            REMOTE_SUPERVISOR_STOP_S,
            "stop of a deliverer + 3 s",
        ),
        (
            "stop of all other machines' deliverers",
            REMOTE_SUPERVISORS_STOP_S,
            "the same + 3 s; below stop of all deliverers",
        ),
        ("stop of all responders", RESPONDERS_STOP_S, "3 x stop of an actor"),
        ("stop of all deliverers", DELIVERIES_STOP_S, "2 x stop of a deliverer + 1 s"),
        ("stop of the system", STOP_S, "settling + stop of all deliverers + 2 x stop of an actor"),
        ("start of the system in a host", EMBEDDED_START_S, "fixed"),
        ("stop of the system in a host", EMBEDDED_STOP_S, "stop of the system + 15 s"),
    )
    return tuple(TimeLimit(name, float(seconds), origin) for name, seconds, origin in rows)


def _most_store() -> str:
    return f"at most {REPEATED_S / STORE_CALLS:g} s"
