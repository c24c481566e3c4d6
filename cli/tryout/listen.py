"""`callboard listen`: a receiver that shows requests and simulates failures."""

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
from callboard.cli.terminal.output import Failure, WrongUsage, escaped, print_text, say
from callboard.cli.tryout.arrival_text import as_object, lines, summary
from callboard.config.loader import Loaded
from callboard.config.settings import DeliverySettings
from callboard.webhooks.deliveries.signing import InvalidSecret

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KEEP = 1000
"""Number of remembered requests."""
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104
"""Addresses that mean all of this machine's, including loopback."""


@click.command()
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--path", help="The only existing path; other paths respond with 404.")
@click.option(
    "--secret",
    multiple=True,
    envvar="WEBHOOK_SECRET",
    show_envvar=True,
    help="whsec_… to verify signatures with; may be repeated.",
)
@click.option(
    "--public-key", multiple=True, help="whpk_… to verify signatures with; may be repeated."
)
@click.option(
    "--strict", is_flag=True, help="Respond with 401 to requests without a valid signature."
)
@click.option("--status", type=click.IntRange(200, 599), help="Respond with this status.")
@click.option("--retry-after", metavar="SECONDS", help="Send Retry-After; 503 without --status.")
@click.option("--redirect", metavar="URL", help="Redirect to URL; 302 without --status.")
@click.option(
    "--hang",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Delay the response by SECONDS; 0 never responds.",
)
@click.option("--drip", is_flag=True, help="Respond byte by byte, without end.")
@click.option("--close", is_flag=True, help="Close the connection without a response.")
@click.option(
    "--fail-rate",
    type=click.FloatRange(0, 1),
    help="Fraction of requests that fail: with 500, or with the option above.",
)
@click.option(
    "--first-fail",
    type=click.IntRange(1),
    metavar="N",
    help="Fail the first N attempts of each delivery: with 500, or with the option above.",
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after this many requests.")
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
    """Receive webhooks on this machine and show them, for development and trials.

    It responds with 200, or as the path requests: /status/500, /slow/300 (milliseconds), /hang,
    /drip, /close. Failure options take precedence. Ctrl-C ends it and prints a summary.
    """
    if strict and not secret + public_key:
        raise WrongUsage("--strict requires a --secret or a --public-key")
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
        raise WrongUsage("give either --fail-rate or --first-fail")
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
    """The requested failure response, or None."""
    silent = [option for option, given in (("--drip", drip), ("--close", close)) if given]
    if hang == 0:
        silent.append("--hang 0")
    answers = [status, retry_after, redirect, hang or None]
    if len(silent) > 1 or (silent and any(given is not None for given in answers)):
        raise WrongUsage(f"{silent[0]} cannot be combined with another failure option")
    if silent:
        return Drip() if drip else Close() if close else Hang()
    if all(given is None for given in answers):
        return None
    headers = {"Retry-After": retry_after, "Location": redirect}
    default = 302 if redirect else 503 if retry_after else 200
    given = {name: value for name, value in headers.items() if value is not None}
    if any(not (value.isascii() and value.isprintable()) for value in given.values()):
        raise WrongUsage("--retry-after and --redirect must be printable ASCII")
    return Answer(status or default, headers=given, delay_s=hang or 0.0)


def _introduce(listener: Listener, bind: str, path: str, delivery: DeliverySettings) -> None:
    """Print the address, and the commands for a first delivery."""
    url = (f"http://127.0.0.1:{listener.port}" if bind in EVERYWHERE else listener.url) + path
    say(f"[bold]Listening on {escaped(url)}[/]   (Ctrl-C ends)")
    say(f"  send here:  callboard hooks add {escaped(url)} --account ACCOUNT")
    refused = rules(delivery).refusal(url)
    if refused is not None:
        why = escaped(refused.removeprefix("refused: "))
        say(
            f"  but first:  hooks may not point here ({why}) unless you start the system with\n"
            "              callboard start --delivery-allow-networks 127.0.0.0/8"
        )


class _Screen:
    """Prints requests until a signal or the requested count; a context manager."""

    def __init__(self, count: int | None, json_: bool) -> None:
        self._left = count
        self._json = json_
        self._ended = threading.Event()

    def show(self, arrival: Arrival) -> None:
        """Print a request, unless the count has been reached."""
        if self._left is not None and self._left <= 0:
            return
        try:
            self._print(arrival)
        except BrokenPipeError:
            self._ended.set()  # the reader has closed the pipe
            return
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._ended.set()

    def _print(self, arrival: Arrival) -> None:
        if self._json:
            print_text(json.dumps(as_object(arrival)) + "\n")
        else:
            for line in lines(arrival):
                say(line)

    def wait(self) -> None:
        """Wait for a signal or for the count."""
        self._ended.wait()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._end) for number in ENDING}
        return self

    def __exit__(self, *_exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ended.set()
