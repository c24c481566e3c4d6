"""`callboard listen`: a receiver that shows what arrives, and can be told to fail."""

import json
import signal
import threading
from types import FrameType
from typing import Any, Self

import click

from callboard.actors.delivery.transports import rules
from callboard.adapters.receiver.faults import (
    ALWAYS,
    FAILURE,
    AtFirst,
    Misbehaviour,
    Sometimes,
    When,
)
from callboard.adapters.receiver.listener import Arrival, Listener
from callboard.adapters.receiver.server import Answer, Behaviour, Close, Drip, Hang
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import Failure, WrongUsage, escaped, say
from callboard.cli.tryout.arrival_text import as_object, lines, summary
from callboard.config.loader import Loaded
from callboard.config.settings import DeliverySettings
from callboard.webhooks.deliveries.signing import InvalidSecret

ENDING = (signal.SIGINT, signal.SIGTERM)
KEEP = 1000
"""Arrivals that are remembered."""
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104
"""Addresses that mean all of this machine's, its loopback among them."""


@click.command()
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--path", help="The only path that is there; others are answered 404.")
@click.option(
    "--secret",
    multiple=True,
    envvar="WEBHOOK_SECRET",
    show_envvar=True,
    help="whsec_… to verify signatures by; may be repeated.",
)
@click.option("--public-key", multiple=True, help="whpk_… to verify signatures by.")
@click.option("--strict", is_flag=True, help="Answer 401 to what is not signed well.")
@click.option("--status", type=click.IntRange(200, 599), help="Answer with this status.")
@click.option("--retry-after", metavar="SECONDS", help="Send Retry-After; 503 without --status.")
@click.option("--redirect", metavar="URL", help="Redirect there; 302 without --status.")
@click.option(
    "--hang", type=click.FloatRange(0), metavar="SECONDS", help="Answer so late; 0: never."
)
@click.option("--drip", is_flag=True, help="Answer byte by byte, without end.")
@click.option("--close", is_flag=True, help="Close the connection instead of answering.")
@click.option(
    "--fail-rate",
    type=click.FloatRange(0, 1),
    help="Fail so large a part of the requests: with 500, or as said above.",
)
@click.option(
    "--first-fail",
    type=click.IntRange(1),
    metavar="N",
    help="Fail the first N tries of each delivery: with 500, or as said above.",
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many requests.")
@as_json
@with_settings()
def listen(
    loaded: Loaded,
    port: int,
    bind: str,
    path: str | None,
    secret: tuple[str, ...],
    public_key: tuple[str, ...],
    strict: bool,
    count: int | None,
    json_: bool,
    **conduct: Any,
) -> None:
    """Receive webhooks on this machine, and show them: for developing, and for a first look.

    Answers 200, or as the path says: /status/500, /slow/300 (milliseconds), /hang, /drip, /close.
    What it is told to fail by has precedence. Ctrl-C ends it, with a summary.
    """
    if strict and not secret + public_key:
        raise WrongUsage("--strict takes a --secret or a --public-key to verify by")
    screen = _Screen(count, json_)
    try:
        listener = Listener(
            bind,
            port,
            keys=secret + public_key,
            path=path,
            strict=strict,
            misbehaviour=_misbehaviour(**conduct),
            on_arrival=screen.show,
            keep=KEEP,
        )
    except InvalidSecret as problem:
        raise WrongUsage(str(problem)) from None
    _start(listener, bind, port)
    try:
        with screen:
            if not json_:
                _introduce(listener, bind, path or "/", loaded.settings.delivery)
            screen.wait()
    finally:
        listener.stop()
    if json_:
        return
    for line in summary(listener.account):
        say(line)


def _start(listener: Listener, bind: str, port: int) -> None:
    try:
        listener.start()
    except OSError as problem:
        raise Failure(
            f"{bind} port {port} cannot be listened on: {problem.strerror or problem}: "
            "choose another with --port (0: any that is free) or --bind"
        ) from None


def _misbehaviour(
    fail_rate: float | None, first_fail: int | None, **answer: Any
) -> Misbehaviour | None:
    if fail_rate is not None and first_fail is not None:
        raise WrongUsage("give one of --fail-rate and --first-fail")
    behaviour = _behaviour(**answer)
    when: When = ALWAYS
    if fail_rate is not None:
        when = Sometimes(fail_rate)
    elif first_fail is not None:
        when = AtFirst(first_fail)
    elif behaviour is None:
        return None
    return Misbehaviour(behaviour or FAILURE, when)


def _behaviour(
    status: int | None,
    retry_after: str | None,
    redirect: str | None,
    hang: float | None,
    drip: bool,
    close: bool,
) -> Behaviour | None:
    """The bad answer that is asked for; None if none is."""
    silent = [option for option, given in (("--drip", drip), ("--close", close)) if given]
    if hang == 0:
        silent.append("--hang 0")
    answers = [status, retry_after, redirect, hang or None]
    if len(silent) > 1 or (silent and any(given is not None for given in answers)):
        raise WrongUsage(f"{silent[0]} cannot be had together with another way to fail")
    if silent:
        return Drip() if drip else Close() if close else Hang()
    if all(given is None for given in answers):
        return None
    headers = {"Retry-After": retry_after, "Location": redirect}
    default = 302 if redirect else 503 if retry_after else 200
    given = {name: value for name, value in headers.items() if value is not None}
    if any(not (value.isascii() and value.isprintable()) for value in given.values()):
        raise WrongUsage("--retry-after and --redirect take printable ASCII")
    return Answer(status or default, headers=given, delay_s=hang or 0.0)


def _introduce(listener: Listener, bind: str, path: str, delivery: DeliverySettings) -> None:
    """Where it listens, and what a first try needs."""
    url = (f"http://127.0.0.1:{listener.port}" if bind in EVERYWHERE else listener.url) + path
    say(f"[bold]Listening on {escaped(url)}[/]   (Ctrl-C ends)")
    say(f"  send here:  callboard hooks add {escaped(url)} --account ACCOUNT")
    refused = rules(delivery).refusal(url)
    if refused is not None:
        why = escaped(refused.removeprefix("refused: "))
        say(
            f"  but first:  hooks may not point here ({why}) unless the system is started with\n"
            "              callboard start --delivery-allow-networks 127.0.0.0/8"
        )


class _Screen:
    """What is printed, and until when: a context in which signals end it."""

    def __init__(self, count: int | None, json_: bool) -> None:
        self._left = count
        self._json = json_
        self._ended = threading.Event()

    def show(self, arrival: Arrival) -> None:
        """Print an arrival; nothing more once there were enough."""
        if self._left is not None and self._left <= 0:
            return
        try:
            self._print(arrival)
        except BrokenPipeError:
            self._ended.set()  # nobody reads it any more
            return
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._ended.set()

    def _print(self, arrival: Arrival) -> None:
        if self._json:
            click.echo(json.dumps(as_object(arrival)))
        else:
            for line in lines(arrival):
                say(line)

    def wait(self) -> None:
        """Until a signal, or until there were enough."""
        self._ended.wait()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._end) for number in ENDING}
        return self

    def __exit__(self, *_exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ended.set()
