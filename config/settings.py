"""The settings: one frozen class a section, checked at construction and not again later.

The defaults are here; `default.toml` documents them, and a test compares the two. Names contain
their units. Secrets, and the passwords of URLs, are masked in `repr`.
"""

import os
import socket
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from attrs import NOTHING, evolve, field, frozen

from callboard.config.rules import (
    DARK_GROUND,
    HIDDEN,
    LIGHT_GROUND,
    Rule,
    address,
    choice,
    cluster,
    clusters,
    durations,
    flag,
    flag_or_empty,
    fraction,
    identifiers,
    json_table,
    json_tables,
    mask,
    named_durations,
    names,
    networks,
    origins,
    path,
    ports,
    readable_colour,
    scalar,
    strings,
    table,
    tables,
    text,
    url,
    whole,
    words,
)

DAY_MS = 24 * 60 * 60 * 1000
MANY = 1_000_000_000
ENDPOINT_OPTIONS = ("tls_verify", "url_credentials", "follow_redirects", "ports", "allow_networks")
"""Protections that the node's settings may leave to hooks or accounts."""
DRY_RUN_QUEUE = ".dry_run"
"""The end of the queue's name during a dry run."""


@frozen
class Facts:
    """A key's help text, rule and secrecy; stored in the attrs metadata under "facts"."""

    help: str
    rule: Rule
    secret: bool


def data_home() -> Path:
    """This user's data directory, by the XDG base directory specification; for root /var/lib."""
    if os.geteuid() == 0:
        return Path("/var/lib/callboard")
    home = os.environ.get("XDG_DATA_HOME", "")
    base = Path(home) if Path(home).is_absolute() else Path("~/.local/share").expanduser()
    return base / "callboard"


def _key(default: Any, rule: Rule, help: str, *, secret: bool = False) -> Any:
    return field(
        default=default,
        converter=rule,
        repr=_hidden if secret else _masked,
        metadata={"facts": Facts(help, rule, secret)},
    )


def _hidden(value: object) -> str:
    return repr(HIDDEN if value else value)


def _masked(value: object) -> str:
    return mask(repr(value))


def _node_name() -> Rule:
    rule = text("text of the form name@host, without spaces", r"[^@\s]+@[^@\s]+")
    return Rule(rule.allowed, str, lambda written: _with_hostname(rule.convert(written)))


def _with_hostname(name: str) -> str:
    return name.replace("{hostname}", socket.gethostname())


@frozen
class NodeSettings:
    """This node's name and zone, and who operates it."""

    name: str = _key(
        "callboard@{hostname}",
        _node_name(),
        "Name of this node, included in its messages; {hostname} is replaced.",
    )
    zone: str = _key("local", text("text without spaces", r"\S+"), "Zone of this node.")
    operators: tuple[str, ...] = _key(
        (),
        identifiers(),
        "Accounts whose hooks on callboard with include_subaccounts get events of all accounts.",
    )


@frozen
class AmqpSettings:
    """The bus that provides the events."""

    url: str = _key(
        "memory://",
        cluster("memory", "amqp", "amqps"),
        "Message broker, or the brokers of one cluster; memory:// is the embedded one.",
    )
    url_order: str = _key(
        "random",
        choice("random", "listed"),
        "Order in which the brokers of a cluster are tried: random for each connection, or listed.",
    )
    ca_bundle: Path | None = _key(
        "",
        path(lambda: None),
        "PEM file of the authorities that verify the broker's certificate; empty: the system's.",
    )
    client_certificate: Path | None = _key(
        "",
        path(lambda: None),
        "PEM file with this node's certificate for the broker; empty means none.",
    )
    client_key: Path | None = _key(
        "",
        path(lambda: None),
        "PEM file with the key of client_certificate; empty means that file.",
    )
    tls_server_name: str = _key(
        "",
        text("text without spaces", r"\S*"),
        "Name in the broker's certificate; empty means the URL's host.",
    )
    tls_verify: bool = _key(True, flag(), "Whether the broker's certificate is verified.")
    prefetch: int = _key(
        1000,
        whole(1, 65535),
        "Maximum number of events taken from the broker and not yet settled.",
    )
    queue: str = _key(
        "callboard.events",
        text("a queue name of 1 to 255 characters, not amq.…", r"(?!amq\.).{1,255}"),
        "Queue that all nodes share for events; prefix of the other queues' names.",
    )
    queue_type: str = _key(
        "classic",
        choice("classic", "quorum"),
        "Type of the queues that all nodes share; RabbitMQ replicates quorum queues.",
    )
    consumer_priority: int = _key(
        0,
        whole(-1000, 1000),
        "Nodes with a higher priority receive events first; the others receive the excess.",
    )
    heartbeat_s: int = _key(
        8,
        whole(1, 600),
        "Interval of heartbeats to RabbitMQ, seconds; a lost connection is detected within two.",
    )
    consumer_timeout_s: int = _key(
        1800,
        whole(1, 86_400),
        "The broker's consumer_timeout, seconds; no message is held for half of it.",
    )
    single_active_consumer: bool = _key(
        False,
        flag(),
        "Whether one node at a time receives events, so that ordered hooks keep their order over "
        "all nodes.",
    )
    zones: tuple[str, ...] = _key(
        (),
        clusters("amqp", "amqps"),
        "Brokers of the cluster's other zones, which send document changes.",
    )
    join_kazoo: bool = _key(
        False,
        flag(),
        "Take events from the queue of Kazoo's own webhooks application, and share them with it.",
    )


@frozen
class CouchdbSettings:
    """The store of hooks and attempts."""

    url: str = _key(
        "sqlite://",
        url("sqlite", "http", "https"),
        "Document store; sqlite:// is the embedded one, in the data directory.",
    )
    ca_bundle: Path | None = _key(
        "",
        path(lambda: None),
        "PEM file of the authorities that verify the store's certificate; empty: the system's.",
    )
    client_certificate: Path | None = _key(
        "",
        path(lambda: None),
        "PEM file with this node's certificate for the store; empty means none.",
    )
    client_key: Path | None = _key(
        "",
        path(lambda: None),
        "PEM file with the key of client_certificate; empty means that file.",
    )
    tls_server_name: str = _key(
        "",
        text("text without spaces", r"\S*"),
        "Name in the store's certificate; empty means the URL's host.",
    )
    tls_verify: bool = _key(True, flag(), "Whether the store's certificate is verified.")
    timeout_ms: int = _key(10_000, whole(1, DAY_MS), "Longest wait for a response, milliseconds.")
    compare_s: int = _key(
        120,
        whole(1, 86_400),
        "Interval for finding out from the store which changes of hooks the bus did not bring, "
        "seconds.",
    )
    write_defaults: bool = _key(
        True, flag(), "Whether missing settings are written into system_config with their defaults."
    )


@frozen
class DataSettings:
    """The place of this node's files."""

    dir: Path = _key(
        "",
        path(data_home),
        "Directory of this node's files; empty means $XDG_DATA_HOME/callboard or "
        "~/.local/share/callboard, for root /var/lib/callboard.",
    )


@frozen
class ActorsSettings:
    """The actor system underneath."""

    base: str = _key(
        "multiprocTCPBase",
        choice("multiprocTCPBase", "simpleSystemBase"),
        "Thespian system base: a process for each actor, or all actors in one process.",
    )
    admin_port: int = _key(19100, whole(1, 65535), "TCP port of the actor system's admin.")
    bind: str = _key("127.0.0.1", address(), "Address that the actors listen on.")
    key_file: Path | None = _key(
        "",
        path(lambda: None),
        "File with the key that seals messages between actors; empty means actors.key in the "
        "data directory.",
    )
    key: str = _key(
        "",
        text("text", r"(?s).*"),
        "The key itself; if set, key_file is ignored.",
        secret=True,
    )
    convention: bool = _key(
        False,
        flag(),
        "Whether other machines may join this node by `callboard join`, to deliver for it.",
    )
    heartbeat_ms: int = _key(
        4000, whole(10, DAY_MS), "Time between two liveness checks of an actor, milliseconds."
    )
    hang_timeout_ms: int = _key(
        12_000,
        whole(10, DAY_MS),
        "An actor silent for this time is killed and restarted, milliseconds; more than "
        "heartbeat_ms.",
    )
    max_restarts: int = _key(
        5,
        whole(1, 1_000_000),
        "How often a supervisor may restart children within ten seconds; at the next failure it "
        "gives up.",
    )

    def __attrs_post_init__(self) -> None:
        if self.hang_timeout_ms <= self.heartbeat_ms:
            raise ValueError(
                f"actors.hang_timeout_ms ({self.hang_timeout_ms}) must be more than "
                f"actors.heartbeat_ms ({self.heartbeat_ms})"
            )


@frozen
class DeliverySettings:
    """Sending of webhooks."""

    workers: int = _key(
        0, whole(0, 1024), "Deliverer processes; 0 means one for each processor core."
    )
    transport: str = _key(
        "requests",
        choice("requests", "curl"),
        "HTTP client: requests needs a thread for each request; curl does not, but needs "
        "the extra async (docs/operations.md).",
    )
    threads: int = _key(
        32,
        whole(1, 1024),
        "Maximum requests in flight in a worker with the transport requests, a thread each.",
    )
    in_flight: int = _key(
        2000,
        whole(1, 65535),
        "Maximum requests in flight in a worker with the transport curl.",
    )
    in_flight_per_endpoint: int = _key(
        16,
        whole(1, 1024),
        "Maximum requests in flight to one endpoint (host and port) in a worker.",
    )
    waiting_per_endpoint: int = _key(
        0,
        whole(0, 65535),
        "Maximum deliveries that wait for a slow endpoint in a worker; 0 means an eighth of "
        "amqp.prefetch for all workers together.",
    )
    circuit_failures: int = _key(
        10,
        whole(1, 1_000_000),
        "Consecutive connection errors after which an endpoint's circuit opens.",
    )
    retry_policy: str = _key(
        "kazoo",
        choice("kazoo", "standard"),
        "Retry policy of deliveries whose hook and account set none.",
    )
    retry_steps_s: tuple[float, ...] = _key(
        (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0),
        durations(),
        "Longest delays of the policy standard after each attempt but the last, seconds.",
    )
    event_retry_steps_s: Mapping[str, tuple[float, ...]] = _key(
        {},
        named_durations(),
        "Retry steps by event type, in place of retry_steps_s; together no longer than these.",
    )
    waiting_index_mb: int = _key(
        128,
        whole(0, 1_000_000),
        "Megabytes of the index by which waiting deliveries are listed and sent early; 0: none.",
    )
    retry_prefetch: int = _key(
        1000,
        whole(1, 65535),
        "Maximum deliveries taken from the retry queue and not yet settled.",
    )
    paused_max: int = _key(
        10_000,
        whole(1, 10_000_000),
        "Maximum deliveries that wait for a paused hook; further ones become dead letters.",
    )
    park_hours: int = _key(
        96,
        whole(1, 8760),
        "How long a delivery waits for an endpoint without an attempt before it is exhausted, "
        "hours.",
    )
    connect_timeout_ms: int = _key(
        0,
        whole(0, DAY_MS),
        "Longest wait for a connection to an endpoint, milliseconds; 0 means connect_timeout_ms "
        "of system_config/webhooks, or 10000.",
    )
    request_timeout_ms: int = _key(
        10_000, whole(1, DAY_MS), "Longest wait for an endpoint's response, milliseconds."
    )
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = _key(
        (), networks(), "Private networks that hooks may point to."
    )
    ports: tuple[int, ...] = _key(
        (),
        ports(),
        "Ports that hooks may point to; empty means all except those of other known protocols.",
    )
    url_credentials: bool = _key(
        False, flag(), "Whether the URL of a hook may contain a user and a password."
    )
    follow_redirects: int = _key(
        0, whole(0, 10), "Maximum redirects to follow for one request; each is checked."
    )
    max_payload: int = _key(
        1_048_576, whole(0, 1_000_000_000), "Maximum bytes of a payload; a larger one is refused."
    )
    ca_bundle: Path | None = _key(
        "",
        path(lambda: None),
        "PEM file of the authorities that verify endpoints' certificates; empty means certifi's.",
    )
    client_certificates: Path | None = _key(
        "",
        path(lambda: None),
        "Directory of the client certificates that hooks may name; empty means none.",
    )
    hook_options: tuple[str, ...] = _key(
        (),
        names(*ENDPOINT_OPTIONS),
        "Protections that single hooks may lift by their own members of these names.",
    )
    account_options: tuple[str, ...] = _key(
        (),
        names(*ENDPOINT_OPTIONS),
        "Protections that accounts may lift for their hooks, in their configs_webhooks.",
    )
    dry_run: bool = _key(
        False,
        flag(),
        "Make deliveries and record them, but send nothing and change no shared document.",
    )
    proxy: str = _key(
        "",
        text(
            "empty or http://user:password@host:port",
            r"(http://([^\s/@]+@)?([^\s/@:\[\]]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?/?)?",
        ),
        "HTTP proxy for all webhooks; empty means none.",
    )


@frozen
class KazooSettings:
    """Kazoo's event modules, and behaviour like that of Kazoo's own application."""

    modules: tuple[str, ...] = _key(
        ("*",),
        words("modules' names, or * for all", r"\*|[a-z0-9_]+"),
        "Kazoo's event modules that run; empty means none, and no Kazoo at this broker.",
    )

    compatible: bool = _key(
        False,
        flag(),
        "Whether hooks that Callboard has not saved may do what Kazoo lets them do.",
    )


@frozen
class SecretsSettings:
    """Encryption of the hooks' signing secrets in the store."""

    key: str = _key(
        "",
        text(
            "keys of 32 bytes in base64, separated by commas or blanks",
            r"([A-Za-z0-9+/_-]{43}=)?([\s,]+[A-Za-z0-9+/_-]{43}=)*\s*",
        ),
        "Keys that encrypt the hooks' secrets, newest first; if set, key_file is ignored.",
        secret=True,
    )
    key_file: Path | None = _key(
        "",
        path(lambda: None),
        "File with these keys, the same on all nodes; empty means secrets.key in the data "
        "directory.",
    )


@frozen
class AttemptsSettings:
    """The records of requests and responses."""

    body_limit: int = _key(
        65_536,
        whole(0, 10_000_000),
        "Bytes of a body that an attempt stores; longer ones are truncated.",
    )
    credentials: bool = _key(
        False,
        flag(),
        "Whether attempts store the hooks' own headers that hold credentials, such as "
        "Authorization, and user and password of their URLs; otherwise *** and no user.",
    )
    log_successful: bool | None = _key(
        "",
        flag_or_empty(),
        "Whether successful attempts are stored, too; empty means log_successful_attempts of "
        "system_config/webhooks, or false. An account's own log_successful_attempts has priority.",
    )
    spool_mb: int = _key(
        256,
        whole(1, 1_000_000),
        "Megabytes of attempts on disk while the store is away; then the oldest are dropped.",
    )
    keep_days: int = _key(
        0,
        whole(0, 36_500),
        "How long attempts are kept, days; 0 means as long as their monthly databases exist.",
    )


@frozen
class DeadLettersSettings:
    """Exhausted deliveries and quarantined events."""

    keep_days: int = _key(
        30, whole(0, 36_500), "How long dead letters are kept, days; 0 means until they are purged."
    )


@frozen
class DisablerSettings:
    """Disabling of hooks that fail repeatedly."""

    enabled: bool = _key(True, flag(), "Whether hooks that fail repeatedly are disabled.")
    read_only: bool | None = _key(
        "",
        flag_or_empty(),
        "Whether hooks that would be disabled are only logged; empty means during a trial beside "
        "Kazoo (amqp.join_kazoo, delivery.dry_run).",
    )


@frozen
class QuotaSettings:
    """The most that each account may have or do; an account's own document may say otherwise."""

    hooks: int = _key(10_000, whole(1, MANY), "Maximum hooks of an account, with disabled ones.")
    hook_bytes: int = _key(
        131_072,
        whole(1, MANY),
        "Maximum bytes of a hook's document, without what Callboard adds to it.",
    )
    custom_data_bytes: int = _key(
        32_768, whole(1, MANY), "Maximum bytes of a hook's custom_data, as JSON."
    )
    custom_data_members: int = _key(
        500, whole(1, MANY), "Maximum members of a hook's custom_data, at all levels."
    )
    events_per_s: int = _key(
        500,
        whole(1, MANY),
        "Maximum events that an account may post to this node's API, a second.",
    )
    test_deliveries: int = _key(
        4, whole(1, MANY), "Maximum test deliveries of an account in progress on this node."
    )
    requests: int = _key(
        4,
        whole(1, MANY),
        "Maximum requests of an account that this node's API works on at a time; more wait.",
    )


@frozen
class ApiSettings:
    """The REST API, and everything else served over HTTP."""

    enabled: bool | None = _key(
        "",
        flag_or_empty(),
        "Whether the API is served; empty means by `callboard start`, but not when embedded.",
    )
    bind: str = _key("127.0.0.1", address(), "Address that the API listens on.")
    port: int = _key(
        8000, whole(0, 65535), "TCP port of the API; 0 means any free port, see api.json."
    )
    admin_token: str = _key(
        "",
        text("empty, or 16 to 512 printable characters without blanks", r"([!-~]{16,512})?"),
        "Token that may do everything; empty means the one in the file api.token of the data "
        "directory, created at the first start.",
        secret=True,
    )
    metrics_token: str = _key(
        "",
        text("empty, or 16 to 512 printable characters without blanks", r"([!-~]{16,512})?"),
        "Token that may only read /metrics, for Prometheus; empty means that /metrics accepts "
        "the admin's token.",
        secret=True,
    )
    cors_origins: tuple[str, ...] = _key(
        (),
        origins(),
        "Origins whose pages may call the API from a browser; empty means none.",
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = _key(
        (),
        networks(),
        "Networks of proxies whose X-Forwarded-For is trusted; empty means none.",
    )
    connections_per_client: int = _key(
        64,
        whole(1, 65535),
        "Maximum connections of one client address, except those of trusted_proxies.",
    )
    max_body: int = _key(
        1_048_576, whole(1024, 1_000_000_000), "Maximum bytes of a request's body."
    )
    frame_ancestors: tuple[str, ...] = _key(
        (),
        origins(),
        "Origins whose pages may show the dashboard in a frame; empty means none.",
    )
    events: bool = _key(
        False, flag(), "Whether events may be posted to /v2/events; adds the module event."
    )


@frozen
class PortalSettings:
    """The dashboard as customers see it."""

    url: str = _key(
        "",
        text(
            "empty or a URL http://host:port or https://host/, without a query",
            r"(https?://[^/@\s?#]+(/[^\s?#]*)?)?",
        ),
        "Address at which customers reach the dashboard, for links; empty means that at which the "
        "request for the link came.",
    )
    name: str = _key(
        "Callboard",
        text("text of 1 to 60 printable characters", r"(?=.*\S)[^\x00-\x1f\x7f]{1,60}"),
        "Name that the dashboard shows in place of Callboard's.",
    )
    colour: str = _key(
        "",
        readable_colour(LIGHT_GROUND),
        "Colour of buttons and links on a light ground; empty means Callboard's.",
    )
    colour_dark: str = _key(
        "",
        readable_colour(DARK_GROUND),
        "The same on a dark ground; empty means Callboard's.",
    )
    logo: Path | None = _key(
        "",
        path(lambda: None),
        "Logo, a file .svg or .png of at most 256 kB; empty means Callboard's.",
    )


@frozen
class LogSettings:
    """Level and format of logs."""

    level: str = _key(
        "info",
        choice("debug", "info", "warning", "error", "critical"),
        "Lowest level to log.",
    )
    format: str = _key("text", choice("text", "json"), "key=value for people, or JSON.")


@frozen
class TracingSettings:
    """OpenTelemetry tracing of events."""

    endpoint: str = _key(
        "",
        text(
            "empty or a URL http://host:port or https://…, without user and password",
            r"(https?://([^\s/@:\[\]?#]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(/[^\s?#]*)?)?",
        ),
        "OTLP/HTTP collector that receives the spans; empty means no spans.",
    )
    headers: str = _key(
        "",
        text(
            "name=value, several separated by commas",
            r"(?a)(\s*[\w!#$%&'*+.^`|~-]+=[\x21-\x2b\x2d-\x7e][\x20-\x2b\x2d-\x7e]*(,|$))*",
        ),
        "Headers that the collector requires, such as Authorization=Bearer 0123.",
        secret=True,
    )
    sample_ratio: float = _key(
        1.0,
        fraction(),
        "Fraction of the traces that begin here to record; others follow their first span.",
    )
    service_name: str = _key(
        "callboard", text("text, not empty", r"[^\x00-\x1f\x7f]+"), "service.name of the spans."
    )
    propagate: bool = _key(
        True, flag(), "Whether endpoints receive traceparent and tracestate, also without tracing."
    )

    @property
    def traces_url(self) -> str:
        """The URL for spans; by default with the path that OTLP/HTTP defines for traces."""
        base = self.endpoint.rstrip("/")
        return base if base.count("/") > 2 else f"{base}/v1/traces"

    @property
    def header_pairs(self) -> Mapping[str, str]:
        """The headers by name."""
        pairs = (pair.partition("=") for pair in self.headers.split(",") if pair)
        return {name.strip(): value.strip() for name, _, value in pairs}


_PATH = r"[^.]+(\.[^.]+)*"


@frozen
class ModuleSettings:
    """An event module for another bus than Kazoo's: a `[[modules]]` table of the file.

    A path selects a value in a message: keys separated by dots, numbers for items of lists.
    """

    id: str = _key(
        NOTHING,
        text(
            "a name of letters, digits and -_. after a letter or digit",
            r"(?a)[^\W_][\w.-]*",
        ),
        "The module's id, which hooks name.",
    )
    exchange: str = _key(
        NOTHING,
        text("an exchange's name of 1 to 255 characters", r"(?s).{1,255}"),
        "Exchange that publishes its messages.",
    )
    bindings: tuple[str, ...] = _key(
        (),
        strings("routing keys or patterns of up to 255 characters", r"(?s).{0,255}", optional=True),
        "Routing keys to bind; patterns if the exchange is a topic exchange, and the weight of one "
        'that hashes. Without, with binding_headers: [""].',
    )
    binding_headers: tuple[Mapping[str, Any], ...] = _key(
        (),
        tables('a list of tables such as { x-match = "all", state = "paid" }', scalar()),
        "Headers by which to bind a headers exchange; each table is a binding.",
    )
    declare: bool = _key(
        True,
        flag(),
        "Whether the exchange is declared; if not, it must exist, and needs no permission to "
        "configure it.",
    )
    exchange_type: str = _key(
        "topic",
        text("topic, direct, fanout, headers or the type of a plug-in", r"[\w.-]{1,255}"),
        "Type of the exchange, as it exists, such as topic, x-consistent-hash or "
        "x-delayed-message.",
    )
    exchange_durable: bool = _key(True, flag(), "Whether the exchange is durable, as it exists.")
    exchange_auto_delete: bool = _key(
        False, flag(), "Whether it is deleted with its last binding, as it exists."
    )
    exchange_internal: bool = _key(
        False, flag(), "Whether no client may publish to it, as it exists."
    )
    exchange_arguments: Mapping[str, Any] = _key(
        {},
        table('a table such as { alternate-exchange = "unrouted" }', scalar()),
        "Arguments of the exchange, as it exists.",
    )
    name: str = _key("", text("text", r"(?s).*"), "Name for people; by default the id.")
    description: str = _key("", text("text", r"(?s).*"), "When it fires, for people.")
    account: str = _key(
        "", text("a path such as data.account.id", f"({_PATH})?"), "Path of the account's id."
    )
    account_id: str = _key(
        "", text("an account's id", r"\S*"), "The account of all messages, instead of a path."
    )
    only: Mapping[str, str | int | float | bool] = _key(
        {},
        table('a table of paths, each in quotes, and values: { "data.state" = "paid" }', scalar()),
        "Required values at some paths for a message to fire.",
    )
    only_if_present: Mapping[str, str | int | float | bool] = _key(
        {},
        table('a table of paths, each in quotes, and values: { "data.test" = false }', scalar()),
        "The same for messages that have a value there; those that lack it fire, too.",
    )
    fields: Mapping[str, str] = _key(
        {},
        table('a table of keys and paths: { order = "data.id" }', text("a path", _PATH)),
        "The payload's keys and the paths of their values; * is the whole message, which is also "
        "the default payload.",
    )

    raw: bool = _key(
        False,
        flag(),
        "Whether hooks send the message's bytes with its content type, unchanged; not with fields.",
    )
    schema: Mapping[str, Any] = _key(
        {},
        json_table("a table with a JSON schema, of draft 2020-12 unless it has $schema"),
        "JSON schema of the payload, shown in the catalogue of event types.",
    )
    samples: tuple[Mapping[str, Any], ...] = _key(
        (),
        json_tables("a list of tables with payloads"),
        "Sample payloads, shown in the catalogue and used for tests of hooks.",
    )
    validate: str = _key(
        "off",
        choice("off", "mark", "reject"),
        "Treatment of a payload that the schema does not allow: none; its deliveries are "
        "marked by a header; or its event is quarantined.",
    )
    reference: str = _key(
        "",
        text("a path such as order.id", f"({_PATH})?"),
        "Path in the payload of what people know the event by, such as an order's number: attempts "
        "store its value, and are found by it.",
    )

    def __attrs_post_init__(self) -> None:
        if not self.bindings:
            if not self.binding_headers:
                raise ValueError("bindings is missing: Routing keys to bind.")
            object.__setattr__(self, "bindings", ("",))
        if self.binding_headers and self.exchange_type != "headers":
            raise ValueError('has binding_headers: these need exchange_type = "headers"')
        if bool(self.account) == bool(self.account_id):
            raise ValueError("needs either account, a path, or account_id, a constant")
        if self.raw and self.fields:
            raise ValueError("has both raw and fields: raw sends the whole message")
        if self.validate != "off" and not self.schema:
            raise ValueError(f"has validate = {self.validate!r} and no schema")


@frozen
class Settings:
    """All settings of a node. `Settings()` has the defaults; `loader.load` reads the others."""

    node: NodeSettings = field(factory=NodeSettings)
    amqp: AmqpSettings = field(factory=AmqpSettings)
    couchdb: CouchdbSettings = field(factory=CouchdbSettings)
    data: DataSettings = field(factory=DataSettings)
    actors: ActorsSettings = field(factory=ActorsSettings)
    delivery: DeliverySettings = field(factory=DeliverySettings)
    kazoo: KazooSettings = field(factory=KazooSettings)
    secrets: SecretsSettings = field(factory=SecretsSettings)
    attempts: AttemptsSettings = field(factory=AttemptsSettings)
    dead_letters: DeadLettersSettings = field(factory=DeadLettersSettings)
    disabler: DisablerSettings = field(factory=DisablerSettings)
    quotas: QuotaSettings = field(factory=QuotaSettings)
    api: ApiSettings = field(factory=ApiSettings)
    portal: PortalSettings = field(factory=PortalSettings)
    log: LogSettings = field(factory=LogSettings)
    tracing: TracingSettings = field(factory=TracingSettings)
    modules: tuple[ModuleSettings, ...] = ()

    def __attrs_post_init__(self) -> None:
        if self.amqp.join_kazoo and not self.has_kazoo:
            raise ValueError(
                "amqp.join_kazoo and kazoo.modules: Kazoo's queue has the events of Kazoo's "
                "modules, so that some of these must run"
            )
        if not self.delivery.dry_run:
            return
        if self.amqp.join_kazoo:
            raise ValueError(
                "delivery.dry_run and amqp.join_kazoo: a dry run must not take Kazoo's events; "
                "it has its own copy of them without amqp.join_kazoo"
            )
        if not self.amqp.queue.endswith(DRY_RUN_QUEUE):
            amqp = evolve(self.amqp, queue=self.amqp.queue + DRY_RUN_QUEUE)
            object.__setattr__(self, "amqp", amqp)

    @property
    def has_kazoo(self) -> bool:
        """Whether there is a Kazoo cluster: some of its event modules run."""
        return bool(self.kazoo.modules)

    @property
    def is_trial(self) -> bool:
        """Whether Kazoo's own application still works on the same documents, which are its own."""
        return self.amqp.join_kazoo or self.delivery.dry_run

    @property
    def disables_hooks(self) -> bool:
        """Whether failing hooks are disabled in the store, and not only logged."""
        read_only = self.disabler.read_only
        return not (self.is_trial if read_only is None else read_only)

    @property
    def actors_key_file(self) -> Path:
        """The file with the key between actors: as set, or actors.key in the data directory."""
        return self.actors.key_file or self.data.dir / "actors.key"

    @property
    def api_token_file(self) -> Path:
        """The file with the API's admin token, if no other is set."""
        return self.data.dir / "api.token"

    @property
    def api_place_file(self) -> Path:
        """The file with the API's present address."""
        return self.data.dir / "api.json"

    @property
    def secrets_key_file(self) -> Path:
        """The file with the keys of hooks' secrets: as set, or secrets.key in data.dir."""
        return self.secrets.key_file or self.data.dir / "secrets.key"
