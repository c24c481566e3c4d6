"""`callboard replay` and `callboard test-hook`."""

import time
from secrets import token_hex
from typing import Any

import attrs
import click

from callboard import admin
from callboard.actors.messages.paths import REDELIVERY
from callboard.cli.system.attached import ask, attached, pages
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import FAILED, WrongUsage, escaped, print_json, say
from callboard.cli.terminal.pacing import paced, say_why
from callboard.cli.terminal.times import WHEN
from callboard.config.loader import Loaded
from callboard.webhooks.history.replaying import one_of_each

LATELY_S = 31 * 24 * 3600
"""How far back to search for one delivery."""


@click.command()
@click.option("--hook", "hook_id", required=True, help="The hook whose deliveries are sent again.")
@click.option(
    "--since", "since_s", type=WHEN, help="Attempts since: 2026-11-24T10:00 (UTC), or 2h."
)
@click.option("--until", "until_s", type=WHEN, help="Attempts until; by default now.")
@click.option("--failed", is_flag=True, help="Only deliveries without a successful attempt.")
@click.option("--event-id", help="Only this delivery.")
@click.option("--attempt", "attempt_id", help="Only the delivery of this attempt.")
@click.option("--rate", default=20.0, show_default=True, type=click.FloatRange(0.01, 10_000))
@click.option("--dry-run", is_flag=True, help="Only count the deliveries.")
@as_json
@with_settings()
def replay(
    loaded: Loaded,
    hook_id: str,
    since_s: float | None,
    until_s: float | None,
    failed: bool,
    event_id: str | None,
    attempt_id: str | None,
    rate: float,
    dry_run: bool,
    json_: bool,
) -> None:
    """Send a hook's deliveries of a period again, RATE per second, from their stored attempts.

    Each goes once to the hook as it is now, with the same webhook-id, so that a receiver can
    recognise a repeat. Successful attempts are stored only while attempts.log_successful is set, or
    log_successful_attempts of the account or of system_config/webhooks: without it, deliveries that
    succeeded at once cannot be replayed, and those that succeeded at a later attempt look like
    failures. Truncated bodies (attempts.body_limit) cannot be replayed. The dead letters hold
    exhausted deliveries completely.
    """
    if since_s is None and event_id is None and attempt_id is None:
        raise WrongUsage("give --since, or one delivery by --event-id or --attempt")
    run = token_hex(8)

    def send(some: tuple[str, ...]) -> tuple[Any, Any]:
        request = admin.ReplayAttempts(hook_id, some, run, ref=some[0])
        answer = ask(client, REDELIVERY, request, admin.AttemptsReplayed)
        return answer.replayed, answer.refused

    with attached(loaded) as client:
        until = time.time() if until_s is None else until_s
        since = until - LATELY_S if since_s is None else since_s
        window = admin.ListAttempts(hook_id, max(0.0, since), until)
        listed = pages(client, REDELIVERY, window, admin.AttemptsListed)
        attempts = (attempt for page in listed for attempt in page.attempts)
        chosen = one_of_each(attempts, event_id, attempt_id, failed=failed)
        skipped = [(attempt.id, attempt.problem) for attempt in chosen if attempt.problem]
        ids = [attempt.id for attempt in chosen if not attempt.problem]
        sent = [] if dry_run else ids
        replayed, refused = paced(sent, rate, send, "replaying", admin.IDS_LIMIT)
    skipped += refused
    if json_:
        found = {"would_replay": ids} if dry_run else {"replayed": replayed}
        print_json({**found, "skipped": dict(skipped), "run": run})
    elif not chosen:
        say("there is no stored attempt to replay")
    else:
        done = f"{len(ids)} would be sent" if dry_run else f"{len(replayed)} on their way again"
        say(f"{done}, {len(skipped)} skipped")
        say_why(skipped)
    if refused or not chosen:
        raise SystemExit(FAILED)


@click.command("test-hook")
@click.argument("hook_id")
@as_json
@with_settings()
def test_hook(loaded: Loaded, hook_id: str, json_: bool) -> None:
    """Send a sample event to a hook now, and print request, response and timing.

    It is signed and sent like any delivery, with the header X-Callboard-Test. It does not count as
    a failure, is not retried, and leaves no record. Exit code 1 if it did not succeed.
    """
    with attached(loaded) as client:
        tested = ask(client, REDELIVERY, admin.TestHook(hook_id), admin.HookTested)
    if json_:
        print_json(attrs.asdict(tested))
    else:
        print_test(tested)
    if not tested.succeeded:
        raise SystemExit(FAILED)


def print_test(tested: admin.HookTested) -> None:
    """Print a test delivery's request, and its response or why there was none."""
    say(f"[bold]{escaped(tested.method)} {escaped(tested.url)}[/]")
    _say_message(tested.request_headers, tested.request_body)
    took = f"after {tested.duration_s * 1000:.0f} ms"
    if tested.error:
        detail = f" ({escaped(tested.detail)})" if tested.detail else ""
        say(f"[bold red]no response: {escaped(tested.error)}[/]{detail} {took}")
        return
    colour = "green" if tested.succeeded else "red"
    say(f"[bold {colour}]{tested.status}[/] {took}")
    cut = "\n[yellow]… and more[/]" if tested.response_cut else ""
    _say_message(tested.response_headers, tested.response_body, cut)


def _say_message(headers: tuple[tuple[str, str], ...], body: str, more: str = "") -> None:
    for name, value in headers:
        say(f"  [dim]{escaped(name)}:[/] {escaped(value)}")
    lines = "\n".join(escaped(line) for line in body.splitlines())
    say(f"\n{lines}{more}\n" if body else "")
