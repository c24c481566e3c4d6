"""All metrics: names by Prometheus' conventions, help texts and labels.

No label grows with hooks, endpoints or accounts. `docs/metrics.md` is generated from this file.
"""

from attrs import field, frozen, validators

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

DURATIONS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""From the response time of a nearby store to an endpoint's time limit, in seconds."""
SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)


@frozen
class Metric:
    """A metric. `labels`: the names of its labels, in order; `buckets`: of a histogram."""

    name: str = field(validator=validators.matches_re(r"callboard_[a-z][a-z_]*"))
    help: str
    kind: str = COUNTER
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _gauge(name: str, help: str, *labels: str) -> Metric:
    return Metric(name, help, GAUGE, labels)


def _seconds(name: str, help: str, *labels: str) -> Metric:
    return Metric(name, help, HISTOGRAM, labels, DURATIONS_S)


# Events

MESSAGES_RECEIVED = Metric(
    "callboard_messages_received_total",
    "Messages received from the broker's queue of events, including redelivered ones.",
)
MESSAGES_ACKNOWLEDGED = Metric(
    "callboard_messages_acknowledged_total",
    "Messages acknowledged after all their deliveries were settled.",
)
MESSAGES_REQUEUED = Metric(
    "callboard_messages_requeued_total",
    "Messages returned to the broker because the process that held them died.",
)
MESSAGES_UNCLAIMED = Metric(
    "callboard_messages_unclaimed_total",
    "Messages that no event module of this node claims, counted again each time they arrive: they "
    "are offered to the other nodes through the broker, or become dead letters.",
)
MESSAGES_NO_MODULE = Metric(
    "callboard_messages_no_module_total",
    "Messages that became dead letters because no event module claimed them.",
)
EVENTS_IN_HAND = _gauge(
    "callboard_events_in_hand",
    "Events received from the broker and not yet acknowledged; limited by amqp.prefetch.",
)
EVENTS = Metric(
    "callboard_events_total",
    "Events by event module and outcome: fired, no_hook (none of the account's fires), no_account "
    "(it names none that counts), filtered (the module does not handle it), or poison "
    "(quarantined).",
    labels=("event", "outcome"),
)

BATCH_SIZE = Metric(
    "callboard_batch_size",
    "Items in one message between processes: events, deliveries, put_off (deferred) deliveries "
    "or attempts.",
    HISTOGRAM,
    ("content",),
    SIZES,
)

# Deliveries

DELIVERIES_MADE = Metric(
    "callboard_deliveries_made_total",
    "Deliveries created, by event.",
    COUNTER,
    ("event",),
)
DELIVERIES = Metric(
    "callboard_deliveries_total",
    "Finished deliveries: delivered, given_up (exhausted) after the last attempt, cancelled "
    "because of their hook, or in a dry run dry_run.",
    labels=("outcome",),
)
DELIVERED, GIVEN_UP, CANCELLED = "delivered", "given_up", "cancelled"
DRY_RUN = "dry_run"
DELIVERIES_PUT_OFF = Metric(
    "callboard_deliveries_put_off_total",
    "Deliveries deferred to the retry queue, counted each time.",
)
DELIVERIES_PARKED = Metric(
    "callboard_deliveries_parked_total",
    "Deliveries deferred to the retry queue without an attempt, because their endpoint had no "
    "capacity or its circuit was open; counted each time.",
)
DELIVERIES_REPEATED = Metric(
    "callboard_deliveries_repeated_total",
    "Finished deliveries that arrived again and were dropped.",
)
ATTEMPTS = Metric(
    "callboard_attempts_total",
    "Requests by result: status class, timeout, connection_error, refused (not sent because of "
    "its address, payload or secret), or error.",
    labels=("result",),
)
ATTEMPTS_FAILED = Metric(
    "callboard_attempts_failed_total",
    "Requests that failed by their delivery's retry policy.",
)
REQUEST_SECONDS = _seconds(
    "callboard_request_duration_seconds",
    "Duration of requests to endpoints, until the response or the error; without refused ones.",
)
DELIVERY_SECONDS = _seconds(
    "callboard_delivery_latency_seconds",
    "Time from an event's arrival to the successful response; only deliveries that did not pass "
    "through the retry queue.",
)
IN_FLIGHT = _gauge("callboard_requests_in_flight", "Requests in flight.")
WAITING = _gauge(
    "callboard_deliveries_waiting", "Deliveries that wait for a turn at their endpoint."
)
RETRYING = _gauge(
    "callboard_deliveries_retrying",
    "Deliveries that wait in memory for a retry after a short delay.",
)
LEAVING = _gauge(
    "callboard_deliveries_leaving",
    "Deliveries sent to the retry queue and not yet confirmed by it.",
)
CIRCUITS = _gauge(
    "callboard_circuits",
    "Endpoints whose circuit is open or half_open. Each deliverer has its own circuits, so an "
    "endpoint may count once for each.",
    "state",
)
CIRCUITS_OPENED = Metric(
    "callboard_circuits_opened_total", "Circuits that changed from closed to open."
)

# The retry queue

RETRY_QUEUE_MESSAGES = _gauge(
    "callboard_retry_queue_messages",
    "Deliveries in the broker's retry queues, by queue: the delay, due, or ordered and paused for "
    "the queues of hooks. All nodes of a bus report the same value.",
    "queue",
)
RETRIES_HANDED_OUT = Metric(
    "callboard_retries_handed_out_total", "Deliveries received from the retry queue."
)
RETRIES_POISON = Metric(
    "callboard_retries_poison_total",
    "Messages in the retry queue that could not be read and were quarantined.",
)

# Attempts and hooks

ATTEMPTS_WRITTEN = Metric("callboard_attempts_written_total", "Attempts written to the store.")
ATTEMPTS_DROPPED = Metric(
    "callboard_attempts_dropped_total",
    "Attempts dropped because the store rejected them or the disk limit was reached.",
)
ATTEMPTS_WAITING = _gauge(
    "callboard_attempts_waiting", "Attempts on disk, not yet written to the store."
)
HOOKS = _gauge("callboard_hooks", "Hooks in memory, that is, hooks that may fire.")
HOOK_PROBLEMS = _gauge("callboard_hook_problems", "Stored hooks that cannot fire.")
HOOKS_DISABLED = Metric(
    "callboard_hooks_disabled_total", "Decisions to disable a hook because of its failures."
)
FAILURES = _gauge(
    "callboard_failures_remembered", "Failed attempts in memory, of all nodes of the bus."
)

# The system

API_REFUSED = Metric(
    "callboard_api_refused_total",
    "Requests and connections that the API refused or closed because of a limit.",
)
BROKER_UP = _gauge(
    "callboard_broker_up", "Whether an actor's connection to the broker is up: 1 or 0.", "actor"
)
BROKER_BLOCKED = _gauge(
    "callboard_broker_blocked_since_seconds",
    "Unix time since when the broker takes no messages from an actor, for this reason; 0: it does.",
    "actor",
    "reason",
)
LEFT_OUT = _gauge(
    "callboard_module_left_out_since_seconds",
    "Unix time since when an event module gets no events, because the broker refuses its exchange "
    "for this reason; 0: it gets them.",
    "module",
    "reason",
)
STORE_UP = _gauge(
    "callboard_store_up", "Whether the document store responded to the last check: 1 or 0."
)
READY = _gauge("callboard_ready", "Whether the node is ready to work: 1 or 0.")
NOT_READY_SECONDS = _gauge(
    "callboard_not_ready_seconds",
    "For how long the node has had a problem of this kind, the oldest one; 0 without a problem.",
    "kind",
)
MACHINES = _gauge(
    "callboard_machines",
    "Machines that have joined the node: joined (they deliver for it) or lost.",
    "state",
)
HOOKS_LOADED = _gauge(
    "callboard_hooks_loaded", "Whether an actor that needs all hooks has them: 1 or 0.", "actor"
)
LAST_PROGRESS = _gauge(
    "callboard_last_progress_timestamp_seconds",
    "When an actor last made progress with what it holds, in Unix seconds; 0 if it holds nothing, "
    "or all of it waits for a rate limit, an order or a retry.",
    "actor",
)
BATCH_RESENDS = _gauge(
    "callboard_batch_resends",
    "How often an actor has sent the same unconfirmed batch again, the most of all batches.",
    "actor",
)
MESSAGES_REFUSED = Metric(
    "callboard_messages_refused_total",
    "Messages between actors that the transport refused, such as those above its limit of bytes.",
    labels=("actor", "message"),
)
STORE_SECONDS = _seconds(
    "callboard_store_probe_duration_seconds",
    "Duration of a look-up of one document in the store, made every few seconds.",
)
CHILD_UP = _gauge("callboard_child_up", "Whether an actor of the tree runs: 1 or 0.", "child")
CHILD_RESTARTS = Metric(
    "callboard_child_restarts_total",
    "Restarts of an actor of the tree.",
    COUNTER,
    ("child",),
)
NODE = _gauge(
    "callboard_node_info", "Always 1; the labels identify the node.", "version", "node", "zone"
)

METRICS: tuple[Metric, ...] = tuple(m for m in list(globals().values()) if isinstance(m, Metric))
"""All of them, in the order above."""
