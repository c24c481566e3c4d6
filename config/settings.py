"""The settings: one frozen class a section, checked where they are made, so that nobody re-checks.

The defaults live here; `default.toml` documents them and a test holds the two together. Names
carry their units. A secret, and the password of a URL, is hidden from `repr`.
"""

import os
import socket
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from attrs import NOTHING, field, frozen

from callboard.config.rules import (
    HIDDEN,
    Rule,
    address,
    choice,
    durations,
    flag,
    flag_or_empty,
    fraction,
    mask,
    networks,
    origins,
    path,
    ports,
    scalar,
    strings,
    table,
    text,
    url,
    urls,
    whole,
)

DAY_MS = 24 * 60 * 60 * 1000


@frozen
class Facts:
    """What is known of a key besides its value; lies in the attrs metadata under "facts"."""

    help: str
    rule: Rule
    secret: bool


def data_home() -> Path:
    """Where this user keeps data: the XDG base directory specification; for root /var/lib."""
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
    """What this node is called."""

    name: str = _key(
        "callboard@{hostname}",
        _node_name(),
        "Name of this node, sent along with what it publishes; {hostname} is filled in.",
    )
    zone: str = _key("local", text("text without spaces", r"\S+"), "Zone this node belongs to.")


@frozen
class AmqpSettings:
    """The bus that events come from."""

    url: str = _key(
        "memory://",
        url("memory", "amqp", "amqps"),
        "Message broker; memory:// is the embedded one.",
    )
    prefetch: int = _key(
        1000,
        whole(1, 65535),
        "Events taken from the broker and not yet settled, at most.",
    )
    queue: str = _key(
        "callboard.events",
        text("a queue name of 1 to 255 characters, not amq.…", r"(?!amq\.).{1,255}"),
        "Queue that all nodes share for events; the names of our other queues begin with it.",
    )
    queue_type: str = _key(
        "classic",
        choice("classic", "quorum"),
        "Kind of the queues that all nodes share: quorum ones are replicated by RabbitMQ.",
    )
    consumer_priority: int = _key(
        0,
        whole(-1000, 1000),
        "Nodes of a higher priority are given events first; the others get what is too much.",
    )
    zones: tuple[str, ...] = _key(
        (),
        urls("amqp", "amqps"),
        "Brokers of the cluster's other zones, whose changes of documents are heard too.",
    )
    join_kazoo: bool = _key(
        False,
        flag(),
        "Take events from the queue of Kazoo's own webhooks application instead, beside it.",
    )


@frozen
class CouchdbSettings:
    """The store of hooks and attempts."""

    url: str = _key(
        "sqlite://",
        url("sqlite", "http", "https"),
        "Document store; sqlite:// is the embedded one, kept in the data directory.",
    )
    timeout_ms: int = _key(10_000, whole(1, DAY_MS), "Longest wait for an answer, milliseconds.")
    write_defaults: bool = _key(
        True, flag(), "Whether settings that nobody has made are written into system_config."
    )


@frozen
class DataSettings:
    """Where this node keeps its files."""

    dir: Path = _key(
        "",
        path(data_home),
        "Folder of this node's files; empty means $XDG_DATA_HOME/callboard or "
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
        "The key itself; where it is set, key_file is not read.",
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
        "An actor silent for so long is killed and restarted, milliseconds; more than "
        "heartbeat_ms.",
    )
    max_restarts: int = _key(
        5,
        whole(1, 1_000_000),
        "How many children of one supervisor may be restarted within ten seconds; with one more it "
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
    """How webhooks are sent."""

    workers: int = _key(
        0, whole(0, 1024), "Processes that deliver; 0 means one for each processor core."
    )
    transport: str = _key(
        "requests",
        choice("requests", "curl"),
        "What makes the requests: requests needs a thread for each; curl does not, and needs "
        "pip install 'callboard[async]'.",
    )
    threads: int = _key(
        32,
        whole(1, 1024),
        "Requests under way in a worker, at most, by the transport requests; each has a thread.",
    )
    in_flight: int = _key(
        2000,
        whole(1, 65535),
        "Requests under way in a worker, at most, by the transport curl.",
    )
    in_flight_per_endpoint: int = _key(
        16,
        whole(1, 1024),
        "Requests under way to one endpoint (host and port) in a worker, at most.",
    )
    waiting_per_endpoint: int = _key(
        0,
        whole(0, 65535),
        "Deliveries that wait for a slow endpoint in a worker, at most; 0 means an eighth of "
        "amqp.prefetch for all workers together.",
    )
    circuit_failures: int = _key(
        10,
        whole(1, 1_000_000),
        "Connection errors in a row after which an endpoint is left alone for a while.",
    )
    retry_policy: str = _key(
        "kazoo",
        choice("kazoo", "standard"),
        "How deliveries are retried whose hook and account say nothing of it.",
    )
    retry_steps_s: tuple[float, ...] = _key(
        (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0),
        durations(),
        "Longest pauses of the policy standard after each try but the last, seconds.",
    )
    retry_prefetch: int = _key(
        1000,
        whole(1, 65535),
        "Deliveries taken back from the retry queue and not yet settled, at most.",
    )
    park_hours: int = _key(
        96,
        whole(1, 8760),
        "How long a delivery waits for an endpoint without being tried before it is given up, "
        "hours.",
    )
    connect_timeout_ms: int = _key(
        0,
        whole(0, DAY_MS),
        "Longest wait for a connection to an endpoint, milliseconds; 0 means connect_timeout_ms "
        "of system_config/webhooks, or 10000.",
    )
    request_timeout_ms: int = _key(
        10_000, whole(1, DAY_MS), "Longest wait for an endpoint's answer, milliseconds."
    )
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = _key(
        (), networks(), "Private networks that hooks may nevertheless point to."
    )
    ports: tuple[int, ...] = _key(
        (),
        ports(),
        "Ports that hooks may point to; empty means all but those of other well-known protocols.",
    )
    url_credentials: bool = _key(
        False, flag(), "Whether the uri of a hook may hold a user and a password."
    )
    follow_redirects: int = _key(
        0, whole(0, 10), "Redirects followed for one request, at most; each is checked."
    )
    max_payload: int = _key(
        1_048_576, whole(0, 1_000_000_000), "Bytes of a payload, at most; a larger one is refused."
    )
    ca_bundle: Path | None = _key(
        "",
        path(lambda: None),
        "PEM file of the authorities that endpoints' certificates are verified by; empty means "
        "those that come with certifi.",
    )
    client_certificates: Path | None = _key(
        "",
        path(lambda: None),
        "Folder of the client certificates that hooks may name; empty means there are none.",
    )
    proxy: str = _key(
        "",
        text(
            "empty or http://user:password@host:port",
            r"(http://([^\s/@]+@)?([^\s/@:\[\]]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?/?)?",
        ),
        "HTTP proxy that all webhooks are sent through; empty means none.",
    )


@frozen
class SecretsSettings:
    """What the hooks' signing secrets are encrypted with in the store."""

    key: str = _key(
        "",
        text(
            "keys of 32 bytes in base64, separated by commas or blanks",
            r"([A-Za-z0-9+/_-]{43}=)?([\s,]+[A-Za-z0-9+/_-]{43}=)*\s*",
        ),
        "Keys that hooks' secrets are encrypted with, the newest first; where there are some, "
        "key_file is not read.",
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
    """The record of what was sent and answered."""

    body_limit: int = _key(
        65_536, whole(0, 10_000_000), "Bytes kept of a body in an attempt; more is cut."
    )
    spool_mb: int = _key(
        256,
        whole(1, 1_000_000),
        "Megabytes that attempts may take on disk while the store is away; the oldest go first.",
    )


@frozen
class DeadLettersSettings:
    """Deliveries that were given up, and events that could not be handled."""

    keep_days: int = _key(
        30, whole(0, 36_500), "How long dead letters are kept, days; 0 means until they are purged."
    )


@frozen
class DisablerSettings:
    """The part that disables hooks that keep failing."""

    enabled: bool = _key(True, flag(), "Whether hooks that keep failing are disabled.")


@frozen
class ApiSettings:
    """The REST API, and what else is served over HTTP."""

    enabled: bool | None = _key(
        "",
        flag_or_empty(),
        "Whether the API is served; empty means: by `callboard start`, but not embedded.",
    )
    bind: str = _key("127.0.0.1", address(), "Address that the API listens on.")
    port: int = _key(
        8000, whole(0, 65535), "TCP port of the API; 0 means any that is free, see api.json."
    )
    admin_token: str = _key(
        "",
        text("empty, or 16 to 512 printable characters without blanks", r"([!-~]{16,512})?"),
        "Token that may do everything; empty means the one in the file api.token of the data "
        "directory, which is made at the first start.",
        secret=True,
    )
    metrics_token: str = _key(
        "",
        text("empty, or 16 to 512 printable characters without blanks", r"([!-~]{16,512})?"),
        "Token that may read /metrics and nothing else, for Prometheus; empty means that it "
        "takes the admin's.",
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
        "Networks of proxies whose X-Forwarded-For is believed; empty means none.",
    )
    max_body: int = _key(
        1_048_576, whole(1024, 1_000_000_000), "Bytes of a request's body, at most."
    )
    events: bool = _key(
        False, flag(), "Whether events may be posted to /v2/events; brings the module event."
    )


@frozen
class LogSettings:
    """What is logged, and how."""

    level: str = _key(
        "info",
        choice("debug", "info", "warning", "error", "critical"),
        "Least level of what is logged.",
    )
    format: str = _key("text", choice("text", "json"), "key=value for people, or JSON.")


@frozen
class TracingSettings:
    """Where it is told what became of each event, by OpenTelemetry."""

    endpoint: str = _key(
        "",
        text(
            "empty or a URL http://host:port or https://…, without user and password",
            r"(https?://([^\s/@:\[\]?#]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(/[^\s?#]*)?)?",
        ),
        "OTLP/HTTP collector that spans are sent to; empty means there are none.",
    )
    headers: str = _key(
        "",
        text(
            "name=value, several separated by commas",
            r"(?a)(\s*[\w!#$%&'*+.^`|~-]+=[\x21-\x2b\x2d-\x7e][\x20-\x2b\x2d-\x7e]*(,|$))*",
        ),
        "Headers that the collector wants, such as Authorization=Bearer 0123.",
        secret=True,
    )
    sample_ratio: float = _key(
        1.0,
        fraction(),
        "Which part of the traces that begin here is recorded; others are as their first span.",
    )
    service_name: str = _key(
        "callboard", text("text, not empty", r"[^\x00-\x1f\x7f]+"), "service.name of the spans."
    )
    propagate: bool = _key(
        True, flag(), "Whether endpoints are sent traceparent and tracestate, also without tracing."
    )

    @property
    def traces_url(self) -> str:
        """Where spans are posted: by default the path that OTLP/HTTP gives to traces."""
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
    """An event module for a bus that is not Kazoo's: a `[[modules]]` table of the file.

    Paths lead into a message: keys with dots between them, numbers for the members of lists.
    """

    id: str = _key(
        NOTHING,
        text(
            "a name of letters, digits and -_. after a letter or digit",
            r"(?a)[^\W_][\w.-]*",
        ),
        "What hooks name the module by.",
    )
    exchange: str = _key(
        NOTHING,
        text("an exchange's name of 1 to 255 characters", r"(?s).{1,255}"),
        "Exchange that its messages come from.",
    )
    bindings: tuple[str, ...] = _key(
        NOTHING,
        strings("routing keys or patterns of up to 255 characters", r"(?s).{0,255}"),
        "Routing keys to bind: patterns where the exchange is a topic exchange.",
    )
    exchange_type: str = _key(
        "topic", choice("topic", "direct", "fanout"), "Type of the exchange, as it exists."
    )
    exchange_durable: bool = _key(True, flag(), "Whether the exchange is durable, as it exists.")
    name: str = _key("", text("text", r"(?s).*"), "Name for people; by default the id.")
    description: str = _key("", text("text", r"(?s).*"), "What it fires for, for people.")
    account: str = _key(
        "", text("a path such as data.account.id", f"({_PATH})?"), "Path of the account's id."
    )
    account_id: str = _key(
        "", text("an account's id", r"\S*"), "The account of all messages, in place of a path."
    )
    only: Mapping[str, str | int | float | bool] = _key(
        {},
        table('a table of paths, each in quotes, and values: { "data.state" = "paid" }', scalar()),
        "What must lie at some paths for a message to fire.",
    )
    fields: Mapping[str, str] = _key(
        {},
        table('a table of keys and paths: { order = "data.id" }', text("a path", _PATH)),
        "The payload's keys, and the paths of their values; * is the whole message, and so is "
        "the payload without any.",
    )

    def __attrs_post_init__(self) -> None:
        if bool(self.account) == bool(self.account_id):
            raise ValueError("needs one of account, a path, and account_id, a constant")


@frozen
class Settings:
    """All settings of a node. `Settings()` has the defaults; `loader.load` reads the others."""

    node: NodeSettings = field(factory=NodeSettings)
    amqp: AmqpSettings = field(factory=AmqpSettings)
    couchdb: CouchdbSettings = field(factory=CouchdbSettings)
    data: DataSettings = field(factory=DataSettings)
    actors: ActorsSettings = field(factory=ActorsSettings)
    delivery: DeliverySettings = field(factory=DeliverySettings)
    secrets: SecretsSettings = field(factory=SecretsSettings)
    attempts: AttemptsSettings = field(factory=AttemptsSettings)
    dead_letters: DeadLettersSettings = field(factory=DeadLettersSettings)
    disabler: DisablerSettings = field(factory=DisablerSettings)
    api: ApiSettings = field(factory=ApiSettings)
    log: LogSettings = field(factory=LogSettings)
    tracing: TracingSettings = field(factory=TracingSettings)
    modules: tuple[ModuleSettings, ...] = ()

    @property
    def actors_key_file(self) -> Path:
        """File with the key between actors: as set, or actors.key in the data directory."""
        return self.actors.key_file or self.data.dir / "actors.key"

    @property
    def api_token_file(self) -> Path:
        """File with the API's admin token, where no other is set."""
        return self.data.dir / "api.token"

    @property
    def api_place_file(self) -> Path:
        """File that says where the API is served now."""
        return self.data.dir / "api.json"

    @property
    def secrets_key_file(self) -> Path:
        """File with the keys of hooks' secrets: as set, or secrets.key in the data directory."""
        return self.secrets.key_file or self.data.dir / "secrets.key"
