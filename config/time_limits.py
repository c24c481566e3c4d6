"""The time limits of the whole system in one table: which are set, and how others follow from them.

A limit that contains another one must be longer. The constants are here so that this can be seen,
and is checked (tests/config/test_time_limits.py); `check` compares those that depend on settings.
"""

from attrs import frozen

from callboard.config.settings import Settings

START_S = 10.0
"""The most seconds for the start of an actor, which waits for no server."""
TREE_SILENT_S = 30.0
"""The most seconds without a heartbeat of the top supervisor while its tree starts."""
STORE_CALLS = 2
"""Calls of the store that time out while an actor handles one message: the first that fails ends
its work, and one before it may have been slow."""
REPEATED_S = 60.0
"""Work that an actor has not answered for is sent to it again after this time."""
PROBE_S = 5.0
"""The most seconds for the health check of the store."""
APPLY_S = 3.0
"""The most seconds until a changed hook is in effect; then the request gets its response anyway."""
API_APPLY_S = APPLY_S + 1.0
"""The same, with the way from the API and back."""

DRAIN_S = 10.0
"""The most seconds for events to settle before the tree is stopped."""
CHILD_STOP_S = 5.0
"""The most seconds for the stop of an actor."""
API_CLIENTS_STOP_S = 2.0
"""The most seconds for requests in progress when the API stops."""
API_STOP_S = 2 * API_CLIENTS_STOP_S
"""The most seconds for the API's server to stop."""
DELIVERER_STOP_S = 12.0
"""The most seconds for requests in flight when a deliverer stops; one that has begun may take the
default of `delivery.request_timeout_ms`."""
RESPONDERS_STOP_S = 3 * CHILD_STOP_S
"""The most seconds for the stop of all responders."""
DELIVERIES_STOP_S = 2 * DELIVERER_STOP_S + 1.0
"""The most seconds for the stop of all deliverers, whose requests end at the same time."""
STOP_S = DRAIN_S + DELIVERIES_STOP_S + 2 * CHILD_STOP_S
"""The most seconds for an orderly stop of the whole system; then it is ended anyway."""


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


def store_probe_s(settings: Settings) -> float:
    """How long the health check waits for the store."""
    return min(store_call_s(settings), PROBE_S)


def hang_s(settings: Settings) -> float:
    """How long an actor may be silent."""
    return settings.actors.hang_timeout_ms / 1000


def broker_loss_s(settings: Settings) -> float:
    """When a connection to RabbitMQ that fails silently counts as lost, on either side.

    An actor that waits for the store serves its connection only afterwards: if one response may
    take longer than this, a store that does not respond also costs the connection.
    """
    return 2.0 * settings.amqp.heartbeat_s


def check(settings: Settings) -> None:
    """Raise ValueError if settings contradict each other."""
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
        ("comparison with the store", settings.couchdb.compare_s, "couchdb.compare_s"),
        ("repetition of unanswered work", REPEATED_S, f"at least {STORE_CALLS} x store response"),
        ("changed hook in effect", APPLY_S, "fixed"),
        ("changed hook in effect, for the API", API_APPLY_S, "changed hook in effect + 1 s"),
        ("silent loss of the broker", broker_loss_s(settings), "2 x amqp.heartbeat_s"),
        ("connection to an endpoint", (delivery.connect_timeout_ms or 10_000) / 1000, connect),
        (
            "request to an endpoint",
            delivery.request_timeout_ms / 1000,
            "delivery.request_timeout_ms",
        ),
        ("settling of events at a stop", DRAIN_S, "fixed"),
        ("stop of an actor", CHILD_STOP_S, "fixed"),
        ("stop of the API", API_STOP_S, f"2 x {API_CLIENTS_STOP_S:g} s; below stop of an actor"),
        ("stop of a deliverer", DELIVERER_STOP_S, "default of delivery.request_timeout_ms + 2 s"),
        ("stop of all responders", RESPONDERS_STOP_S, "3 x stop of an actor"),
        ("stop of all deliverers", DELIVERIES_STOP_S, "2 x stop of a deliverer + 1 s"),
        ("stop of the system", STOP_S, "settling + stop of all deliverers + 2 x stop of an actor"),
    )
    return tuple(TimeLimit(name, float(seconds), origin) for name, seconds, origin in rows)


def _most_store() -> str:
    return f"at most {REPEATED_S / STORE_CALLS:g} s"
