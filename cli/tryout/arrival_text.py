"""The output of `callboard listen` for a request."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from callboard.adapters.receiver import ReceivedRequest
from callboard.adapters.receiver.arrivals import Arrivals
from callboard.adapters.receiver.listener import Arrival
from callboard.cli.terminal.output import counted, escaped
from callboard.webhooks.deliveries.verifying import Verdict
from callboard.webhooks.events.event import WRITABLE_NESTING, too_deep

DULL_HEADERS = frozenset({"host", "content-length", "connection", "accept", "accept-encoding"})
"""Headers that are unrelated to webhooks; omitted in the output for people."""


def lines(arrival: Arrival) -> Iterator[str]:
    """The output for people, with rich's markup: a headline, headers, body."""
    request, made = arrival.request, arrival.made
    at = datetime.fromtimestamp(request.time).strftime("%H:%M:%S.%f")[:-3]
    since = "" if made.since_last_s is None else f"  +{made.since_last_s:.3f} s"
    target = request.path + (f"?{request.query}" if request.query else "")
    notes = [_verdict(arrival.verdict)] if arrival.verdict is not None else []
    if made.repeat:
        notes.append("[yellow]repeat of a successful delivery[/]")
    elif made.number > 1:
        notes.append(f"attempt {made.number}")
    well = "green" if arrival.answer.startswith("2") else "red"
    yield (
        f"{at}{since}  [bold]{escaped(request.method)} {escaped(target)}[/]  "
        f"answered [{well}]{arrival.answer}[/]{''.join(f'  {note}' for note in notes)}"
    )
    for name, value in request.headers.items():
        if name not in DULL_HEADERS:
            yield f"  [dim]{escaped(name)}:[/] {escaped(value)}"
    for line in _body_lines(request):
        yield f"    {escaped(line)}"


def as_object(arrival: Arrival) -> dict[str, Any]:
    """The output for programs."""
    request, made = arrival.request, arrival.made
    return {
        "time": request.time,
        "since_last_s": made.since_last_s,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": dict(request.headers),
        "body": content(request),
        "delivery": made.delivery,
        "try": made.number,
        "repeat": made.repeat,
        "signature": arrival.verdict,
        "answer": arrival.answer,
    }


def summary(account: Arrivals) -> Iterator[str]:
    """The summary at the end."""
    yield (
        f"[bold]{counted(account.requests, 'request')}[/], "
        f"{counted(account.deliveries, 'delivery', 'deliveries')} by webhook-id, "
        f"{account.good} answered well, {counted(account.repeats, 'repeat')}"
    )
    if account.verdicts:
        verdicts = (f"{verdict} {count}" for verdict, count in account.verdicts.most_common())
        yield f"signatures: {', '.join(verdicts)}"


def content(request: ReceivedRequest) -> Any:
    """The decoded body: JSON, the pairs of a form, a text, or None if it is empty."""
    if not request.body:
        return None
    text = request.body.decode(errors="replace")
    if "x-www-form-urlencoded" in request.headers.get("content-type", ""):
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    return text if too_deep(value, WRITABLE_NESTING) else value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _body_lines(request: ReceivedRequest) -> list[str]:
    value = content(request)
    if value is None:
        return []
    if isinstance(value, str):
        return value.splitlines()
    return json.dumps(value, indent=2, ensure_ascii=False).splitlines()


def _verdict(verdict: Verdict) -> str:
    colour = "green" if verdict is Verdict.OK else "bold red"
    return f"[{colour}]signature {verdict}[/]"
