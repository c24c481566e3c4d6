"""`callboard kazoo`."""

import ssl
import time
from collections.abc import Mapping
from itertools import islice
from operator import attrgetter
from typing import Any

import attrs
import click

from callboard.actors.base.event_modules import event_modules
from callboard.actors.delivery.transports import grants, rules
from callboard.adapters.http.client_certificates import ClientCertificates, NoCertificateError
from callboard.adapters.repositories.account_quotas import endpoint_config
from callboard.adapters.repositories.attempt_history import attempts
from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.repositories.system_config import CATEGORY
from callboard.adapters.store.protocol import Document
from callboard.cli.operations.changeover import NONE, at_endpoints, differences
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import Failure, print_json, print_table, say
from callboard.cli.terminal.store import dry_run_records, opened_store
from callboard.cli.terminal.times import shown
from callboard.config.loader import Loaded
from callboard.webhooks.history.comparing import NEAR_S, OURS, compared
from callboard.webhooks.hooks.hook import is_enabled
from callboard.webhooks.hooks.migration import OLD_EVENTS
from callboard.webhooks.hooks.options import CHECKED
from callboard.webhooks.values.endpoint_options import (
    EndpointOptions,
    Grants,
    InvalidEndpointOption,
    parse_endpoint_options,
)
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S, gregorian_s

PAGE = 500
KEPT_S = 31 * 86_400
HANDSHAKE_S = 5.0
"""Time limit for connecting to an endpoint, and for its TLS handshake."""

REDIRECTS = (
    "Kazoo follows redirects, Callboard does not: kazoo.compatible keeps it as it was, or "
    "delivery.follow_redirects = 5, or follow_redirects of the hook."
)

LOG_SUCCESSFUL = "log_successful_attempts"
NOT_LOGGED = (
    "Kazoo stores failed attempts only: requests that only Callboard would have sent cannot be "
    "told. Set log_successful_attempts to true in system_config/webhooks during the trial."
)


@click.group()
def kazoo() -> None:
    """Prepare to take the place of Kazoo's webhooks application."""


@kazoo.command()
@click.option("--account", help="Only this account's hooks.")
@click.option(
    "--endpoints",
    is_flag=True,
    help="Also look names up and make TLS handshakes; no request is sent.",
)
@as_json
@with_settings()
def check(loaded: Loaded, account: str | None, endpoints: bool, json_: bool) -> None:
    """List the enabled hooks that would behave differently than in Kazoo, and what keeps them.

    Reads the store directly and changes nothing; no system need run.
    """
    settings = loaded.settings
    delivery, granted = settings.delivery, grants(settings)
    allowed = rules(delivery)
    modules = event_modules(settings).modules
    known = {event for module in modules for event in (module.id, *module.events)} | {*OLD_EVENTS}
    hooks, accounts = _stored(loaded, account, granted)

    def given(document: Mapping[str, Any]) -> EndpointOptions | None:
        """The options in effect for a hook."""
        checked = document.get(CHECKED) is True
        try:
            own = parse_endpoint_options(document)
        except InvalidEndpointOption:
            own = None
        return granted.settled(own, accounts[_account(document)], checked=checked)

    seen = [one for document in hooks for one in differences(document, allowed, known, given)]
    if endpoints:
        certificates = ClientCertificates(
            str(delivery.ca_bundle or "") or None, delivery.client_certificates
        )

        def tls(options: EndpointOptions | None, account_id: str) -> ssl.SSLContext:
            """How a hook with these options verifies."""
            verify = options is None or options.tls_verify is not False
            bundle = options.ca_bundle if options else None
            try:
                profile = certificates.profile(account_id, None, bundle, verify=verify)
            except NoCertificateError as problem:
                raise Failure(str(problem)) from None
            context = certificates.without if profile is None else profile.context
            context.sslsocket_class = ssl.SSLSocket  # Not one within an exchange.
            return context

        seen += at_endpoints(hooks, allowed, given, tls, HANDSHAKE_S)
    seen.sort(key=attrgetter("account_id", "hook_id", "kind"))
    found = [one for one in seen if one.keep != NONE]
    notes = [] if delivery.follow_redirects or settings.kazoo.compatible else [REDIRECTS]
    if json_:
        differing = [attrs.asdict(one) for one in found]
        permitted = [attrs.asdict(one) for one in seen if one.keep == NONE]
        print_json(
            {"hooks": len(hooks), "differences": differing, "permitted": permitted, "notes": notes}
        )
        return
    if seen:
        rows = (attrs.astuple(difference) for difference in seen)
        print_table(("account", "hook", "kind", "reason", "kept by"), rows)
    say(f"{len({one.hook_id for one in found})} of {len(hooks)} enabled hooks differ.")
    for note in notes:
        say(note)


@kazoo.command("dry-run")
@click.option("--account", required=True, metavar="ACCOUNT_ID", help="The account.")
@click.option("--hook", "hook_id", metavar="HOOK_ID", help="Only this hook's.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1))
@as_json
@with_settings()
def dry_run(loaded: Loaded, account: str, hook_id: str | None, limit: int, json_: bool) -> None:
    """List what a dry run (delivery.dry_run) would have sent in the last 31 days, newest first.

    Reads this node's records; no system need run.
    """
    now = gregorian_s(time.time())
    with dry_run_records(loaded.settings) as store:
        found = list(islice(attempts(store, account, hook_id, now - KEPT_S, now), limit))
    if json_:
        print_json(found)
        return
    print_table(
        ("created", "event", "hook", "method", "uri", "result"),
        (
            (
                shown(one["pvt_created"] - GREGORIAN_OFFSET_S),
                one["hook_event"],
                one["hook_id"],
                one["method"],
                one["uri"],
                one.get("client_error") or one["result"],
            )
            for one in found
        ),
    )


@kazoo.command()
@click.option("--account", required=True, metavar="ACCOUNT_ID", help="The account.")
@click.option("--hook", "hook_id", metavar="HOOK_ID", help="Only this hook's.")
@as_json
@with_settings()
def compare(loaded: Loaded, account: str, hook_id: str | None, json_: bool) -> None:
    """Compare the attempts that Kazoo stored with what a dry run would have sent.

    Reads the shared store and this node's records of the last 31 days, and changes nothing. Kazoo
    stores successful attempts only with log_successful_attempts = true in system_config/webhooks.
    """
    now = gregorian_s(time.time())
    settings, node = loaded.settings, loaded.settings.node
    with dry_run_records(settings) as records, opened_store(settings) as shared:
        ours = list(attempts(records, account, hook_id, now - KEPT_S, now))
        since = min((one["pvt_created"] for one in ours), default=now) - NEAR_S
        kazoos = list(attempts(shared, account, hook_id, since, now))
        directory = StoreDirectory(shared, node.name, node.zone, write_defaults=False)
        logged = directory.setting(CATEGORY, LOG_SUCCESSFUL, None)
    equal, found = compared(kazoos, ours)
    notes = [] if logged is True else [NOT_LOGGED]
    if logged is not True:
        found = [one for one in found if one.kind != OURS]
    if json_:
        print_json(
            {
                "kazoo": len(kazoos),
                "dry_run": len(ours),
                "equal": equal,
                "differences": [attrs.asdict(one) for one in found],
                "notes": notes,
            }
        )
        return
    if found:
        print_table(
            ("created", "hook", "difference", "uri", "members"),
            (
                (
                    shown(one.at - GREGORIAN_OFFSET_S),
                    one.hook_id,
                    one.kind,
                    one.uri,
                    ", ".join(one.members),
                )
                for one in found
            ),
        )
    say(f"{equal} requests are equal, {len(found)} differ.")
    for note in notes:
        say(note)


def _account(document: Mapping[str, Any]) -> str:
    return str(document.get("pvt_account_id") or "")


def _stored(
    loaded: Loaded, account: str | None, granted: Grants
) -> tuple[list[Document], dict[str, Mapping[str, Any]]]:
    """The enabled hooks as they are, and the settings of their accounts.

    Those of retired types are not migrated.
    """
    found: list[Document] = []
    with opened_store(loaded.settings) as store:
        hooks = HookStore(store)
        more, after = True, None
        while more:
            page, more = hooks.listed(account, PAGE, after)
            found += filter(is_enabled, page)
            if page:
                after = str(page[-1].get("pvt_account_id")), page[-1]["_id"]
        accounts = {id: endpoint_config(store, id, granted) for id in {*map(_account, found)}}
    return found, accounts
