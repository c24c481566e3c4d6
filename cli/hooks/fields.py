"""All fields of a hook, as options of `callboard hooks add` and `hooks edit`."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from callboard.cli.terminal.completing import event_types
from callboard.cli.terminal.output import WrongUsage
from callboard.webhooks.hooks.hook import FORM_DATA, JSON, MAX_ATTEMPTS, VERBS
from callboard.webhooks.hooks.options import POLICIES
from callboard.webhooks.values.endpoint_options import MOST_REDIRECTS

Command = Callable[..., Any]

SETTABLE = (
    *("name", "uri", "hook", "http_verb", "format", "retries", "enabled", "group"),
    *("include_subaccounts", "include_internal_legs", "custom_data", "modifiers"),
    *("filter", "transform"),
    *("retry_policy", "ordered", "rate_limit", "headers", "client_certificate"),
    *("retry_steps_s", "success", "give_up", "signature", "paused", "ca_bundle"),
    *("tls_verify", "url_credentials", "follow_redirects", "ports", "allow_networks"),
)
"""Members of a hook's document that the options set."""
NEEDED = ("name", "uri", "hook")
"""Required members."""

_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--name",), {"help": "A name for people; by default the URL."}),
    (
        ("--event", "hook"),
        {"help": "Event module, or all.", "shell_complete": event_types},
    ),
    (("--verb", "http_verb"), {"type": click.Choice(VERBS)}),
    (("--format",), {"type": click.Choice((JSON, FORM_DATA))}),
    (
        # Kazoo's word misleads: it is the number of all requests, the first one included.
        ("--tries", "--retries", "retries"),
        {
            "type": click.IntRange(0, MAX_ATTEMPTS - 1),
            "help": "Number of attempts, the first one included, with the policy kazoo.",
        },
    ),
    (("--retry-policy",), {"type": click.Choice(POLICIES), "help": "By default the account's."}),
    (
        ("--retry-steps", "retry_steps_s"),
        {"metavar": "SECONDS,…", "help": "Longest pauses between attempts, with standard."},
    ),
    (
        ("--success",),
        {"metavar": "STATUS,…", "help": "Statuses that mean success, such as 200-299,304."},
    ),
    (
        ("--give-up",),
        {"metavar": "STATUS,…", "help": "Statuses that are not retried, such as 400,404."},
    ),
    (
        ("--signature",),
        {"metavar": "JSON", "help": "A further signature: name, header, prefix, encoding."},
    ),
    (
        ("--ordered/--unordered", "ordered"),
        {"default": None, "help": "One delivery at a time, in the order of the events."},
    ),
    (
        ("--paused/--resumed", "paused"),
        {"default": None, "help": "Keep deliveries until the hook is resumed."},
    ),
    (
        ("--rate-limit",),
        {
            "type": click.FloatRange(0, min_open=True),
            "metavar": "NUMBER",
            "help": "Maximum requests per second.",
        },
    ),
    (
        ("--header", "headers"),
        {
            "multiple": True,
            "metavar": "NAME:VALUE",
            "help": "Additional header of each request; may be repeated.",
        },
    ),
    (
        ("--client-certificate",),
        {
            "metavar": "NAME",
            "help": "Client certificate to present: a file of delivery.client_certificates.",
        },
    ),
    (
        ("--ca-bundle",),
        {
            "metavar": "NAME",
            "help": "Authorities of its certificate: a file of delivery.client_certificates.",
        },
    ),
    (
        ("--tls-verify/--no-tls-verify", "tls_verify"),
        {"default": None, "help": "Whether its certificate is verified (delivery.hook_options)."},
    ),
    (
        ("--url-credentials/--no-url-credentials", "url_credentials"),
        {"default": None, "help": "Whether the URL may have a password (delivery.hook_options)."},
    ),
    (
        ("--follow-redirects",),
        {
            "type": click.IntRange(0, MOST_REDIRECTS),
            "help": "Redirects to follow, at most (delivery.hook_options).",
        },
    ),
    (
        ("--ports",),
        {"metavar": "PORT,…", "help": "Further ports, as 25,8000-8010 (delivery.hook_options)."},
    ),
    (
        ("--allow-networks",),
        {"metavar": "NETWORK,…", "help": "Private networks to call (delivery.hook_options)."},
    ),
    (("--custom-data",), {"metavar": "JSON", "help": "Object merged into every payload."}),
    (
        ("--modifiers",),
        {"metavar": "JSON", "help": "Object with the values that a payload must have to fire."},
    ),
    (
        ("--filter",),
        {"metavar": "JMESPATH", "help": "Only events for which this expression is true."},
    ),
    (
        ("--transform",),
        {"metavar": "JMESPATH", "help": "Send the result of this expression as the body."},
    ),
    (
        ("--include-subaccounts/--no-subaccounts", "include_subaccounts"),
        {"default": None, "help": "Also fire for descendants' events."},
    ),
    (
        ("--internal-legs/--no-internal-legs", "include_internal_legs"),
        {"default": None, "help": "Also fire for loopback channels; the default."},
    ),
    (("--group",), {"help": "A group name for listings."}),
    (
        ("--enabled/--disabled", "enabled"),
        {"default": None, "help": "Whether it may fire; the default is enabled."},
    ),
)


def with_fields(command: Command) -> Command:
    """Add an option for every member of a hook; options not given are None, or empty."""
    for names, about in reversed(_OPTIONS):
        command = click.option(*names, **about)(command)
    return command


def members(given: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a document that the options set. Raises WrongUsage."""
    found = {name: value for name, value in given.items() if value is not None and value != ()}
    for name in ("custom_data", "modifiers", "signature"):
        if name in found:
            found[name] = _object(found[name], "--" + name.replace("_", "-"))
    for name in ("success", "give_up"):
        if name in found:
            found[name] = [_status(text.strip()) for text in found[name].split(",")]
    for name in ("ports", "allow_networks"):
        if name in found:
            found[name] = [text.strip() for text in found[name].split(",")]
    if "retry_steps_s" in found:
        found["retry_steps_s"] = _seconds(found["retry_steps_s"])
    if "headers" in found:
        found["headers"] = _headers(found["headers"])
    return found


def unset(names: Iterable[str]) -> dict[str, None]:
    """The members to remove. Raises WrongUsage."""
    gone = [name.replace("-", "_") for name in names]
    for name in gone:
        if name not in SETTABLE:
            raise WrongUsage(f"--unset {name}: use one of {', '.join(sorted(SETTABLE))}")
        if name in NEEDED:
            raise WrongUsage(f"--unset {name}: every hook requires it; change it instead")
    return dict.fromkeys(gone)


def _status(text: str) -> int | str:
    return int(text) if text.isdecimal() and len(text) == 3 else text


def _seconds(text: str) -> list[float]:
    try:
        return [float(step) for step in text.split(",")]
    except ValueError:
        raise WrongUsage(f"--retry-steps {text!r}: write seconds, as 5,60,300") from None


def _headers(given: Iterable[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise WrongUsage(f"--header {text!r}: write NAME:VALUE, as 'X-Team: billing'")
        if name.strip().lower() in (known.lower() for known in headers):
            raise WrongUsage(f"--header {name.strip()} is given twice")
        headers[name.strip()] = value.strip()
    return headers


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise WrongUsage(
            f'{option} is not JSON: {problem}; write it in quotes, as \'{{"team": "billing"}}\''
        ) from None
    if not isinstance(value, dict):
        raise WrongUsage(f'{option} must be a JSON object, as \'{{"team": "billing"}}\'')
    return value
