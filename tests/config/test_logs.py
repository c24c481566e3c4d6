"""What reaches standard error, from this process and from several at once."""

import ast
import importlib
import json
import logging
import logging.config
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import structlog
from thespian.actors import Actor, ActorSystem

from callboard.config import LogSettings, configure_logs, log_definitions
from callboard.config.logs import logger
from services.rabbitmq import wait_until
from support.patience import patient

TEXT = LogSettings(format="text")
JSON = LogSettings(format="json")

ROOT = Path(__file__).parents[2]
ROOMS = ("actors", "adapters", "cli", "config", "supervision", "web", "webhooks")
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


def lines(capfd) -> list[str]:
    return capfd.readouterr().err.splitlines()


def test_text_is_a_timestamp_a_level_the_event_and_the_keys(capfd):
    configure_logs(TEXT)
    structlog.get_logger().info("hook disabled", hook="abc", attempts=6, reason="too many", ok=True)
    (line,) = lines(capfd)
    stamp, rest = line.split(" ", 1)
    assert datetime.fromisoformat(stamp.removeprefix("timestamp=")).utcoffset() == timedelta(0)
    assert rest == 'level=info event="hook disabled" hook=abc attempts=6 reason="too many" ok=true'


def test_json_is_one_object_a_line(capfd):
    configure_logs(JSON)
    structlog.get_logger().bind(actor="bridge").warning("slow", waited_ms=1.5, ids=("a", "b"))
    (line,) = lines(capfd)
    event = json.loads(line)
    assert list(event) == ["timestamp", "level", "event", "actor", "waited_ms", "ids"]
    assert event["ids"] == ["a", "b"]
    assert event["waited_ms"] == 1.5


def test_levels_below_the_setting_are_silent(capfd):
    configure_logs(LogSettings(level="warning"))
    structlog.get_logger().info("quiet")
    structlog.get_logger().error("loud")
    assert [re.search(r"event=(\w+)", line)[1] for line in lines(capfd)] == ["loud"]


def test_libraries_log_the_same_way_from_warning_upwards(capfd):
    configure_logs(LogSettings(level="debug", format="json"))
    logging.getLogger("pika.adapters").info("quiet")
    logging.getLogger("pika.adapters").warning("connection to %s lost", "amqp://u:pa55@h/")
    (event,) = map(json.loads, lines(capfd))
    assert event["event"] == "connection to amqp://u:***@h/ lost"
    assert (event["logger"], event["level"]) == ("pika.adapters", "warning")


def test_a_level_above_warning_holds_for_libraries_too(capfd):
    configure_logs(LogSettings(level="error"))
    logging.getLogger("pika").warning("quiet")
    assert lines(capfd) == []


def test_configuring_again_replaces(capfd):
    log = structlog.get_logger()
    configure_logs(JSON)
    log.info("before")
    configure_logs(TEXT)
    configure_logs(TEXT)
    log.info("after")
    logging.getLogger("pika").error("once")
    first, second, third = lines(capfd)
    assert json.loads(first)["event"] == "before"
    assert "event=after" in second
    assert "event=once" in third


def test_an_exception_is_one_line(capfd):
    configure_logs(TEXT)
    try:
        raise ValueError("no such\nhook")
    except ValueError:
        structlog.get_logger().exception("crashed")
        logging.getLogger("pika").exception("crashed")
    ours, theirs = lines(capfd)
    for line in (ours, theirs):
        assert "ValueError: no such\\nhook" in line
        assert "level=error event=crashed" in line


@pytest.mark.parametrize("settings", [TEXT, JSON], ids=["text", "json"])
@pytest.mark.parametrize("evil", ["\n", "\r\n", "\x1b[2J", "\x85", "\u2028", "\udcff", '" x="1'])
def test_a_value_cannot_forge_a_line(capfd, settings, evil):
    configure_logs(settings)
    text = f"a{evil}level=critical"
    structlog.get_logger().info(text, agent=text, **{f"k {evil}": 1})
    logging.getLogger("pika").warning(text)
    ours, theirs = lines(capfd)
    assert ours.isprintable()
    assert theirs.isprintable()
    if settings is JSON:
        assert json.loads(ours)["agent"] == text
    else:
        assert f"agent={json.dumps(text)}" in ours


@pytest.mark.parametrize("settings", [TEXT, JSON], ids=["text", "json"])
def test_secrets_are_hidden_wherever_they_lie(capfd, settings):
    configure_logs(settings)
    structlog.get_logger().info(
        "request",
        password="pa55",
        hook_secret="pa55",
        Token="pa55",
        api_key="pa55",
        key=b"pa55",
        headers=[{"Authorization": "Bearer pa55"}],
        url="https://u:pa55@h/x",
        settings=LogSettings(),
        routing_key="CHANNEL_CREATE",
    )
    (line,) = lines(capfd)
    assert "pa55" not in line
    assert line.count("***") == 7
    assert "CHANNEL_CREATE" in line


def test_of_a_long_line_only_the_long_values_are_cut(capfd):
    configure_logs(JSON)
    structlog.get_logger().info("e", a="x" * 1024, b="y" * 2048, c="z" * 1100)
    (line,) = lines(capfd)
    event = json.loads(line)
    assert (event["a"], event["b"], event["c"]) == (
        "x" * 1024,
        "y" * 512 + "…" + "y" * 512,
        "z" * 512 + "…" + "z" * 512,
    )


@pytest.mark.parametrize(("length", "cut"), [(4095, False), (4096, True)])
def test_a_line_may_have_4096_bytes_with_its_end(capfd, length, cut):
    """PIPE_BUF of Linux: so many bytes are written in one piece."""
    configure_logs(JSON)
    log = structlog.get_logger()
    log.info("e", a="")
    (empty,) = lines(capfd)
    log.info("e", a="x" * (length - len(empty)))
    (line,) = lines(capfd)
    assert ("…" in json.loads(line)["a"]) is cut
    assert (len(line) == length) is not cut


def test_where_all_values_are_short_the_line_stays_long(capfd):
    configure_logs(JSON)
    structlog.get_logger().info("e", **{f"key_{number}": "abc" for number in range(500)})
    (line,) = lines(capfd)
    event = json.loads(line)
    assert {event[f"key_{number}"] for number in range(500)} == {"a…c"}


def test_no_field_of_our_own_log_entries_is_hidden(capfd):
    fields = set()
    for path in (p for room in ROOMS for p in (ROOT / room).rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in LEVELS:
                fields |= {field.arg for field in call.keywords if field.arg}
    assert {"reason", "actor"} & fields
    configure_logs(JSON)
    structlog.get_logger().info("all fields", **dict.fromkeys(fields, "shown"))
    (line,) = lines(capfd)
    assert {name for name, value in json.loads(line).items() if value == "***"} == set()


@pytest.mark.parametrize("settings", [TEXT, JSON], ids=["text", "json"])
def test_secrets_are_hidden_in_values_of_any_type(capfd, settings):
    configure_logs(settings)
    structlog.get_logger().info(
        "request",
        problem=OSError("https://u:pa55@h/x: refused"),
        by_number={5: {"token": "pa55"}, 6: "https://u:pa55@h/y"},
        several={"https://u:pa55@h/z"},
        pair=(1, {"password": "pa55"}),
    )
    (line,) = lines(capfd)
    assert "pa55" not in line
    assert line.count("***") == 5


def test_a_traceback_that_comes_as_text_is_logged_once(capfd):
    configure_logs(JSON)
    record = logging.LogRecord("thespian", logging.ERROR, "f", 1, "failed", None, None)
    record.exc_text = "Traceback: of another process"
    logging.getLogger("thespian").handle(record)
    try:
        raise ValueError("here")
    except ValueError:
        info = sys.exc_info()
    record = logging.LogRecord("thespian", logging.ERROR, "f", 1, "failed", None, info)
    record.exc_text = "Traceback: cached by another handler"
    logging.getLogger("thespian").handle(record)
    logging.getLogger("thespian").error("failed without any")
    foreign, own, without = map(json.loads, lines(capfd))
    assert foreign["exception"] == "Traceback: of another process"
    assert "ValueError: here" in own["exception"]
    assert "exception" not in without


def test_where_nothing_is_configured_logging_gets_the_lines_without_secrets(capfd, caplog):
    structlog.reset_defaults()
    caplog.set_level(logging.INFO, "callboard")
    log = logger().bind(actor="a")
    log.info("broker_down", reason="amqp://guest:sesame@broker/ is away")
    log.debug("not_wanted")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("callboard", "INFO")
    assert record.getMessage().startswith("event=broker_down actor=a")
    assert "sesame" not in record.getMessage()
    assert capfd.readouterr() == ("", "")


def test_a_hosts_own_structlog_gets_the_lines_of_a_logger_of_our_name(caplog):
    structlog.configure(
        [structlog.stdlib.render_to_log_kwargs], logger_factory=structlog.stdlib.LoggerFactory()
    )
    logger().warning("broker_down")
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("callboard", "broker_down")
    ]


def test_structlog_is_configured_at_its_import_by_the_last_settings(monkeypatch, capfd):
    finders = list(sys.meta_path)
    monkeypatch.setattr(sys, "meta_path", list(finders))
    with monkeypatch.context() as missing:
        missing.delitem(sys.modules, "structlog")
        configure_logs(TEXT)
        configure_logs(JSON)
        assert len(sys.meta_path) == len(finders) + 1
        importlib.import_module("structlog").get_logger().info("late")
        assert sys.meta_path == finders
        assert json.loads(*lines(capfd))["event"] == "late"
        missing.delitem(sys.modules, "structlog")
        configure_logs(JSON)
    configure_logs(TEXT)
    assert sys.meta_path == finders


@pytest.mark.parametrize("settings", [TEXT, JSON], ids=["text", "json"])
def test_a_long_line_is_cut_to_what_a_pipe_takes_at_once(capfd, settings):
    configure_logs(settings)
    structlog.get_logger().info("big", body="é\n" * 50_000, items=list(range(5000)), hook="abc")
    # Threads of other tests of this worker may write a line of their own meanwhile.
    (line,) = (line for line in capfd.readouterr().err.splitlines(keepends=True) if "big" in line)
    assert len(line.encode()) <= 4096
    assert "hook" in line
    assert "…" in (json.loads(line)["body"] if settings is JSON else line.encode().decode())


def test_a_lost_reader_stops_nobody():
    program = (
        "import structlog, sys; from callboard.config import *; configure_logs(LogSettings());"
        "sys.stdin.read(); structlog.get_logger().info('unheard'); print('went on')"
    )
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=writer,
        text=True,
    ) as process:
        os.close(writer)
        os.close(reader)
        assert process.communicate(timeout=patient(30))[0] == "went on\n"
        assert process.returncode == 0


def test_processes_do_not_write_into_each_others_lines():
    program = """
import os, structlog
from callboard.config import LogSettings, configure_logs
configure_logs(LogSettings(format="json"))
first = os.fork()
name = "a" if first else "b"
configure_logs(LogSettings(format="json"))
log = structlog.get_logger()
for number in range(500):
    log.info("line", name=name, number=number, body=name * 3000)
if first:
    os.waitpid(first, 0)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=patient(60))
    assert run.returncode == 0
    seen: dict[str, list[int]] = {"a": [], "b": []}
    for line in run.stderr.splitlines():
        event = json.loads(line)
        assert event["body"] == event["name"] * 3000
        seen[event["name"]].append(event["number"])
    assert seen == {"a": list(range(500)), "b": list(range(500))}


class Talker(Actor):
    """Logs in an actor's process, where Thespian has replaced the root logger."""

    def receiveMessage(self, message, sender):
        if message != "talk":
            return
        refused = False
        try:
            logging.root.addHandler(logging.NullHandler())
        except NotImplementedError:
            refused = True
        logging.getLogger("forwarded").warning("through Thespian")
        configure_logs(JSON)
        configure_logs(JSON)
        structlog.get_logger().info("ours")
        logging.getLogger("made.here").warning("late")
        BEFORE_THE_FORK.warning("early")
        self.send(sender, refused)


BEFORE_THE_FORK = logging.getLogger("made.before")


@pytest.mark.multiprocess
def test_it_works_in_an_actors_process(capfd, free_admin_port):
    configure_logs(JSON)
    system = ActorSystem(
        "multiprocTCPBase", {"Admin Port": free_admin_port}, logDefs=log_definitions(JSON)
    )
    written = []

    def all_written():
        written.extend(lines(capfd))
        return len(written) >= 4

    try:
        assert system.ask(system.createActor(Talker), "talk", timedelta(seconds=20)) is True
        # Thespian's way leads over a process that ends with the system.
        wait_until(all_written, "four lines", patient(10))
    finally:
        system.shutdown()
    written += lines(capfd)
    assert sorted(json.loads(line)["event"] for line in written) == [
        "early",
        "late",
        "ours",
        "through Thespian",
    ]


def test_half_a_character_is_escaped_in_a_line_of_any_length(capfd):
    configure_logs(TEXT)
    for length in (1, 10_000):
        structlog.get_logger().info("hook", reason="\udc80" * length)
    short, long = lines(capfd)
    assert short.endswith(r'reason="\udc80"')
    assert len(long) < 4096
