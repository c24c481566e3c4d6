"""The settings' own checks, and that default.toml tells the truth about them."""

import socket
import tomllib
from ipaddress import ip_network
from pathlib import Path

import pytest
from attrs import fields

import callboard.config
from callboard.config import (
    ActorsSettings,
    AmqpSettings,
    ConfigError,
    DataSettings,
    DeliverySettings,
    ModuleSettings,
    Settings,
    TracingSettings,
    load,
    options,
)
from callboard.config.show import shown

DEFAULT_FILE = Path(callboard.config.__file__).parent / "default.toml"


def test_default_toml_holds_every_key_with_its_default():
    documented = tomllib.loads(DEFAULT_FILE.read_text())
    expected: dict[str, dict[str, object]] = {}
    for option in options():
        default = list(option.default) if isinstance(option.default, tuple) else option.default
        expected.setdefault(option.section, {})[option.name] = default
    assert documented == expected
    assert list(documented) == list(expected)


@pytest.mark.parametrize(
    ("settings", "trial"),
    [
        (Settings(), False),
        (Settings(amqp=AmqpSettings(url="amqp://h", join_kazoo=True)), True),
        (Settings(delivery=DeliverySettings(dry_run=True)), True),
    ],
)
def test_a_trial_works_on_documents_that_are_kazoo_s_own(settings, trial):
    assert settings.is_trial is trial


def test_the_node_is_named_by_its_host():
    assert Settings().node.name == f"callboard@{socket.gethostname()}"


def test_default_toml_gives_the_default_settings():
    assert load(DEFAULT_FILE, {}).settings == Settings()


@pytest.mark.parametrize("option", options(), ids=lambda option: option.key)
def test_default_toml_documents_the_key_and_its_variable(option):
    lines = DEFAULT_FILE.read_text().splitlines()
    start = lines.index(f"[{option.section}]")
    line = next(n for n in range(start, len(lines)) if lines[n].startswith(f"{option.name} ="))
    assert lines[line - 1] == f"# {option.variable}"
    assert lines[line - 2].startswith("# ")


def test_every_option_has_a_name_for_each_place_and_a_help():
    prefetch = next(option for option in options() if option.key == "amqp.prefetch")
    assert (prefetch.flag, prefetch.variable) == ("--amqp-prefetch", "CALLBOARD_AMQP_PREFETCH")
    assert prefetch.type is int
    assert not prefetch.secret
    for option in options():
        assert option.help.endswith(".")
        assert option.type in (int, bool, str)
    assert [option.key for option in options() if option.secret] == [
        "actors.key",
        "secrets.key",
        "api.admin_token",
        "api.metrics_token",
        "tracing.headers",
    ]


GOOD = [
    ("amqp.url", "amqps://guest:pw@bus.example:5671/%2f", "amqps://guest:pw@bus.example:5671/%2f"),
    ("amqp.prefetch", "250", 250),
    ("amqp.prefetch", 250, 250),
    ("couchdb.url", "sqlite:///var/lib/hooks.db", "sqlite:///var/lib/hooks.db"),
    ("disabler.enabled", "No", False),
    ("disabler.enabled", True, True),
    ("delivery.allow_networks", "10.0.0.0/8, fd00::/8", ("10.0.0.0/8", "fd00::/8")),
    ("delivery.allow_networks", ["10.0.0.0/8"], ("10.0.0.0/8",)),
    ("delivery.allow_networks", "", ()),
    ("kazoo.modules", "", ()),
    ("kazoo.modules", [], ()),
    ("kazoo.modules", "object, channel_create", ("object", "channel_create")),
    ("kazoo.modules", ["*"], ("*",)),
    ("actors.bind", "::1", "::1"),
    ("data.dir", "/srv/callboard", Path("/srv/callboard")),
    ("secrets.key", "", ""),
    ("secrets.key", f"{'A' * 43}=, {'-' * 43}=", f"{'A' * 43}=, {'-' * 43}="),
    ("tracing.endpoint", "", ""),
    ("tracing.endpoint", "http://[::1]:4318", "http://[::1]:4318"),
    ("tracing.endpoint", "https://otlp.example/in/v1/traces", "https://otlp.example/in/v1/traces"),
    ("tracing.sample_ratio", "0.25", 0.25),
    ("tracing.sample_ratio", 1, 1.0),
    ("tracing.headers", "", ""),
    ("tracing.headers", "Authorization=Basic dTpw==, x-a=1", "Authorization=Basic dTpw==, x-a=1"),
]


@pytest.mark.parametrize(("key", "written", "value"), GOOD)
def test_a_rule_makes_the_value_and_takes_it_again(key, written, value):
    rule = next(option.rule for option in options() if option.key == key)
    if key == "delivery.allow_networks":
        value = tuple(ip_network(item) for item in value)
    assert rule(written) == value
    assert type(rule(written)) is type(value)
    assert rule(rule(written)) == value


BAD = [
    ("secrets.key", "sesame"),
    ("secrets.key", "A" * 44),
    ("node.name", "no-host"),
    ("amqp.url", "http://bus.example"),
    ("amqp.url", "amqp://"),
    ("amqp.url", "amqp://bus.example:port"),
    ("amqp.url", "amqp:bus.example"),
    ("amqp.url", "amqp://bus.example/ x"),
    ("amqp.url", 7),
    ("amqp.prefetch", 0),
    ("amqp.prefetch", 65536),
    ("amqp.prefetch", True),
    ("amqp.prefetch", 1.5),
    ("amqp.prefetch", "many"),
    ("amqp.queue", "amq.direct"),
    ("amqp.queue", ""),
    ("actors.base", "multiprocUDPBase"),
    ("actors.bind", "localhost"),
    ("delivery.allow_networks", "10.0.0.1/8"),
    ("delivery.allow_networks", 10),
    ("delivery.allow_networks", [10]),
    ("disabler.enabled", "perhaps"),
    ("disabler.enabled", 1),
    ("data.dir", 7),
    ("log.level", "loud"),
    ("log.level", ["info"]),
    ("tracing.endpoint", "collector:4318"),
    ("tracing.endpoint", "http://user:password@collector:4318"),
    ("tracing.endpoint", "http://collector:4318/?key=secret"),
    ("tracing.sample_ratio", "1.01"),
    ("tracing.sample_ratio", -0.1),
    ("tracing.sample_ratio", "nan"),
    ("tracing.sample_ratio", True),
    ("tracing.headers", "Authorization"),
    ("tracing.headers", "a=1\r\nb: 2"),
    ("tracing.headers", "a=1,,b=2"),
    ("tracing.service_name", ""),
]


@pytest.mark.parametrize(("key", "written"), BAD)
def test_a_rule_refuses(key, written):
    rule = next(option.rule for option in options() if option.key == key)
    with pytest.raises(ValueError, match=r"^must be "):
        rule(written)


def test_a_hang_takes_longer_than_a_heartbeat():
    with pytest.raises(ValueError, match=r"hang_timeout_ms \(500\) must be more than"):
        ActorsSettings(heartbeat_ms=500, hang_timeout_ms=500)


def test_secrets_and_passwords_do_not_show():
    settings = Settings(amqp=AmqpSettings(url="amqp://u:pa55@h"), actors=ActorsSettings(key="s3al"))
    assert "pa55" not in repr(settings)
    assert "s3al" not in repr(settings)
    assert "amqp://u:***@h" in repr(settings)
    assert ("key='***'" in repr(settings.actors), "key=''" in repr(ActorsSettings())) == (
        True,
        True,
    )
    assert [dict(shown(each))["actors.key"] for each in (settings, Settings())] == ["***", ""]


def test_spans_are_posted_to_the_path_for_traces_unless_the_endpoint_has_one():
    def url(endpoint):
        return TracingSettings(endpoint=endpoint).traces_url

    assert url("http://c:4318") == url("http://c:4318/") == "http://c:4318/v1/traces"
    assert url("https://c/otlp/v1/traces") == "https://c/otlp/v1/traces"
    assert url("https://c/x") == "https://c/x"
    assert url("http://c:4318/traces/") == "http://c:4318/traces"


def test_the_collectors_headers_are_read_by_name():
    tracing = TracingSettings(headers="Authorization=Basic dTpw==, x-a=1")
    assert tracing.header_pairs == {"Authorization": "Basic dTpw==", "x-a": "1"}
    assert "dTpw" not in repr(tracing)


def test_the_data_directory_follows_xdg(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/op")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert DataSettings().dir == Path("/home/op/.local/share/callboard")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert DataSettings().dir == Path("/data/callboard")
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    assert DataSettings().dir == Path("/home/op/.local/share/callboard")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert DataSettings().dir == Path("/var/lib/callboard")


def test_the_key_file_lies_in_the_data_directory_unless_set():
    data = DataSettings(dir=Path("/srv/cb"))
    assert Settings(data=data).actors_key_file == Path("/srv/cb/actors.key")
    actors = ActorsSettings(key_file=Path("/etc/cb.key"))
    assert Settings(data=data, actors=actors).actors_key_file == Path("/etc/cb.key")


@pytest.mark.parametrize("written", ["0.5, 300", [0.5, 300]])
def test_retry_steps_are_seconds(written):
    loaded = load(None, {"CALLBOARD_CONFIG": "/dev/null"}, {"delivery.retry_steps_s": written})
    assert loaded.settings.delivery.retry_steps_s == (0.5, 300.0)


@pytest.mark.parametrize(
    "written", ["Object=5, 300.0; sms=60", {"Object": [5, "300"], "sms": (60.0,)}]
)
def test_retry_steps_of_event_types_are_seconds_by_name(written):
    overrides = {"delivery.event_retry_steps_s": written}
    loaded = load(None, {"CALLBOARD_CONFIG": "/dev/null"}, overrides)
    steps_s = loaded.settings.delivery.event_retry_steps_s
    assert steps_s == {"object": (5.0, 300.0), "sms": (60.0,)}
    assert ("delivery.event_retry_steps_s", "object=5.0,300.0;sms=60.0") in shown(loaded.settings)


@pytest.mark.parametrize(
    "written",
    [
        *("object", "object=", "object=0", [5], {"object": 5}, 5),
        *("object=1;object=2", "object=1;OBJECT=2", {"object": [1], "Object": [2]}),
    ],
)
def test_other_retry_steps_of_event_types_are_refused(written):
    with pytest.raises(ConfigError, match=r"event_retry_steps_s.*must be a table"):
        load(
            None,
            {"CALLBOARD_CONFIG": "/dev/null"},
            {"delivery.event_retry_steps_s": written},
        )


@pytest.mark.parametrize("written", ["", "5,,6", "0", "-1", "nan", "inf", "2592001", [True], []])
def test_other_retry_steps_are_refused(written):
    with pytest.raises(ConfigError, match=r"retry_steps_s.*seconds above 0"):
        load(None, {"CALLBOARD_CONFIG": "/dev/null"}, {"delivery.retry_steps_s": written})


@pytest.mark.parametrize("queue", ["callboard", "callboard.dry_run"])
def test_a_dry_run_has_a_queue_of_its_own(queue):
    amqp, dry = AmqpSettings(queue=queue), DeliverySettings(dry_run=True)
    assert Settings(amqp=amqp, delivery=dry).amqp.queue == "callboard.dry_run"
    assert Settings(amqp=amqp).amqp.queue == queue


MODULE_LIMITS = Path(__file__).parents[1] / "data" / "module_limits.txt"
"""The defaults and limits of all keys of a `[[modules]]` table."""


def test_defaults_and_limits_of_modules():
    found = []
    for key in fields(ModuleSettings):
        rule = key.metadata["facts"].rule
        found.append(f"{key.name} | {key.default!r} | {rule.allowed} | {rule.type.__name__}")
    assert found == MODULE_LIMITS.read_text().splitlines()
