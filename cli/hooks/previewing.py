"""`callboard hooks preview`."""

import time
from collections.abc import Mapping
from typing import Any, BinaryIO

import click

from callboard.actors.base.event_modules import event_modules
from callboard.actors.messages import GetHook, HookSaved
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.cli.hooks.fields import members
from callboard.cli.system.attached import attached
from callboard.cli.terminal.completing import event_types
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import FAILED, WrongUsage, escaped, plain, print_json, say
from callboard.config.loader import Loaded
from callboard.webhooks.deliveries.preview import Preview, preview
from callboard.webhooks.events.event import Event, too_deep
from callboard.webhooks.hooks.hook import FORM_DATA, JSON, VERBS, InvalidHook, parse_hook
from callboard.webhooks.modules.samples import NoDirectory, sample
from callboard.webhooks.values.exact_numbers import json_read

MAX_PAYLOAD_BYTES = 16 * 2**20
_DRAFT = {
    "_id": "preview",
    "hook": "all",
    "format": "json",
    "uri": "https://preview.invalid/",
    "pvt_account_id": "preview",
}


@click.command("preview")
@click.argument("hook_id", required=False)
@click.option("--event", "hook", help="Event module.", shell_complete=event_types)
@click.option("--verb", "http_verb", type=click.Choice(VERBS))
@click.option("--format", type=click.Choice((JSON, FORM_DATA)))
@click.option("--filter", metavar="JMESPATH", help="The filter to try.")
@click.option("--transform", metavar="JMESPATH", help="The transform to try.")
@click.option("--custom-data", metavar="JSON", help="The custom data to try.")
@click.option("--modifiers", metavar="JSON", help="The modifiers to try.")
@click.option(
    "--payload",
    type=click.File("rb"),
    metavar="FILE",
    help="JSON of the event's payload, - for standard input; by default a sample.",
)
@click.option("--exchange", default="", help="Exchange of the event's message.")
@click.option("--routing-key", default="", help="Its routing key.")
@click.option("--message-header", "headers", multiple=True, metavar="NAME:VALUE", help="A header.")
@as_json
@with_settings()
def preview_(
    loaded: Loaded,
    hook_id: str | None,
    payload: BinaryIO | None,
    exchange: str,
    routing_key: str,
    headers: tuple[str, ...],
    json_: bool,
    **fields: Any,
) -> None:
    """Show what a hook would send for an event, without sending it.

    The options take the place of what the hook HOOK_ID has; without HOOK_ID no system need run.
    Exit code 1 if nothing would be sent.
    """
    changes = members(fields)
    document: dict[str, Any] = dict(_DRAFT)
    if hook_id is not None:
        with attached(loaded) as client:
            document = client.ask_actor(HOOK_LISTENER, GetHook(hook_id), HookSaved).document
    modules = event_modules(loaded.settings).modules
    known = {event for module in modules for event in (module.id, *module.events)}
    try:
        hook = parse_hook({**document, **changes}, known)
    except InvalidHook as problem:
        raise WrongUsage(problem.reason) from None
    if payload is None:
        given = sample(hook, modules, NoDirectory(), time.time())[0]
    else:
        given = _payload(payload)
    pairs = (text.partition(":") for text in headers)
    message = {name.strip(): value.strip() for name, _colon, value in pairs}
    event = Event(given, exchange, routing_key, headers=message)
    found = preview(hook, event, hook.event.lower(), given)
    if json_:
        print_json(found.as_json())
    else:
        _describe(found)
    raise SystemExit(0 if found.sent else FAILED)


def _payload(file: BinaryIO) -> Mapping[str, Any]:
    try:
        payload = json_read(file.read(MAX_PAYLOAD_BYTES + 1))
    except (ValueError, RecursionError) as problem:
        raise WrongUsage(f"--payload is not JSON: {problem}") from None
    if not isinstance(payload, dict) or too_deep(payload):
        raise WrongUsage("--payload must be a JSON object")
    return payload


def _describe(found: Preview) -> None:
    if not found.modifiers:
        say("[yellow]not sent:[/] the modifiers do not accept the event")
    if found.filter_error:
        say(f"[yellow]not sent:[/] the filter has no result: {escaped(found.filter_error)}")
    elif not found.sent and found.modifiers and not found.transform_error:
        say("[yellow]not sent:[/] the filter does not accept the event")
    if found.transform_error:
        say(f"[bold red]no body:[/] {escaped(found.transform_error)}")
        return
    say(f"{'sent' if found.sent else 'it would be'} as {escaped(found.content_type)}:")
    plain(found.body.decode(errors="replace"))
