"""Every metric: its name after Prometheus' conventions, what it means, and its labels.

No label grows with hooks, endpoints or accounts. `docs/metrics.md` is made of this.
"""

from attrs import field, frozen, validators

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

DURATIONS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""From what a store next door takes to the longest that an endpoint may."""
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
    "Messages taken from the broker's queue of events, those that came again among them.",
)
MESSAGES_ACKNOWLEDGED = Metric(
    "callboard_messages_acknowledged_total",
    "Messages acknowledged: each of their deliveries is settled.",
)
MESSAGES_REQUEUED = Metric(
    "callboard_messages_requeued_total",
    "Messages given back to the broker, as the process died that had them.",
)
MESSAGES_UNCLAIMED = Metric(
    "callboard_messages_unclaimed_total",
    "Messages of exchanges that no event module asks for any more; acknowledged.",
)
EVENTS_IN_HAND = _gauge(
    "callboard_events_in_hand",
    "Events taken from the broker and not acknowledged yet; amqp.prefetch bounds them.",
)
EVENTS = Metric(
    "callboard_events_total",
    "Events by event module and outcome: fired (hooks wanted it), no_hook, or poison (set aside).",
    labels=("event", "outcome"),
)
FIRED, NO_HOOK, POISON = "fired", "no_hook", "poison"

BATCH_SIZE = Metric(
    "callboard_batch_size",
    "How much travels in one message between processes: events, deliveries, put_off deliveries "
    "or attempts.",
    HISTOGRAM,
    ("content",),
    SIZES,
)

# Deliveries

DELIVERIES_MADE = Metric(
    "callboard_deliveries_made_total",
    "Deliveries that events have made, by event.",
    COUNTER,
    ("event",),
)
DELIVERIES = Metric(
    "callboard_deliveries_total",
    "Deliveries that came to an end: delivered, or given_up after their last try.",
    labels=("outcome",),
)
DELIVERED, GIVEN_UP = "delivered", "given_up"
DELIVERIES_PUT_OFF = Metric(
    "callboard_deliveries_put_off_total",
    "Deliveries that the retry queue took over, counted each time.",
)
DELIVERIES_PARKED = Metric(
    "callboard_deliveries_parked_total",
    "How often a delivery found no room at its endpoint, or lost it, and went to the retry queue "
    "untried.",
)
DELIVERIES_REPEATED = Metric(
    "callboard_deliveries_repeated_total",
    "Deliveries that came again although they were done, and were not sent again.",
)
ATTEMPTS = Metric(
    "callboard_attempts_total",
    "Requests by result: class of the status, timeout, connection_error, refused (an address, "
    "payload or secret that we do not use), or error.",
    labels=("result",),
)
ATTEMPTS_FAILED = Metric(
    "callboard_attempts_failed_total",
    "Requests that were no success by the retry policy of their delivery.",
)
REQUEST_SECONDS = _seconds(
    "callboard_request_duration_seconds",
    "How long requests to endpoints take, to the answer or the error; without those refused.",
)
DELIVERY_SECONDS = _seconds(
    "callboard_delivery_latency_seconds",
    "From an event's arrival from the broker to the answer that took its delivery; of deliveries "
    "that did not pass through the retry queue.",
)
IN_FLIGHT = _gauge("callboard_requests_in_flight", "Requests under way.")
WAITING = _gauge(
    "callboard_deliveries_waiting", "Deliveries that wait for a turn at their endpoint."
)
RETRYING = _gauge(
    "callboard_deliveries_retrying",
    "Deliveries that wait in memory for a retry after a short pause.",
)
LEAVING = _gauge(
    "callboard_deliveries_leaving",
    "Deliveries on their way into the retry queue, which does not have them safe yet.",
)
CIRCUITS = _gauge(
    "callboard_circuits",
    "Endpoints whose circuit is open or half_open. Each deliverer has circuits of its own: an "
    "endpoint may count once for each.",
    "state",
)
CIRCUITS_OPENED = Metric(
    "callboard_circuits_opened_total", "How often a closed circuit has opened."
)

# The retry queue

RETRY_QUEUE_MESSAGES = _gauge(
    "callboard_retry_queue_messages",
    "Deliveries in the broker's retry queues, by queue: the wait they are in, or due. All nodes "
    "of a bus see the same.",
    "queue",
)
RETRIES_HANDED_OUT = Metric(
    "callboard_retries_handed_out_total", "Deliveries that came back from the retry queue."
)
RETRIES_POISON = Metric(
    "callboard_retries_poison_total",
    "Messages in the retry queue that were no deliveries, and were set aside.",
)

# Attempts and hooks

ATTEMPTS_WRITTEN = Metric("callboard_attempts_written_total", "Attempts that the store has taken.")
ATTEMPTS_DROPPED = Metric(
    "callboard_attempts_dropped_total",
    "Attempts that were not kept: the store refused them, or there was no room meanwhile.",
)
ATTEMPTS_WAITING = _gauge(
    "callboard_attempts_waiting", "Attempts on disk that the store does not have yet."
)
HOOKS = _gauge("callboard_hooks", "Hooks in memory: those that may fire.")
HOOK_PROBLEMS = _gauge("callboard_hook_problems", "Stored hooks that cannot fire.")
HOOKS_DISABLED = Metric(
    "callboard_hooks_disabled_total", "How often a hook was to be disabled for its failures."
)
FAILURES = _gauge(
    "callboard_failures_remembered", "Failed tries that are remembered, of all nodes of the bus."
)

# The system

BROKER_UP = _gauge(
    "callboard_broker_up", "Whether an actor's connection to the broker is up: 1 or 0.", "actor"
)
STORE_UP = _gauge("callboard_store_up", "Whether the document store answered last: 1 or 0.")
STORE_SECONDS = _seconds(
    "callboard_store_probe_duration_seconds",
    "How long the document store takes to look for one document, asked every few seconds.",
)
CHILD_UP = _gauge("callboard_child_up", "Whether an actor of the tree runs: 1 or 0.", "child")
CHILD_RESTARTS = Metric(
    "callboard_child_restarts_total",
    "How often an actor of the tree was restarted.",
    COUNTER,
    ("child",),
)
NODE = _gauge(
    "callboard_node_info", "Always 1; the labels say which node this is.", "version", "node", "zone"
)

METRICS: tuple[Metric, ...] = tuple(m for m in list(globals().values()) if isinstance(m, Metric))
"""All of them, in the order above."""
