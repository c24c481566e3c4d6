"""From an event to its deliveries: the whole of the domain in one call."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from callboard.webhooks.deliveries.encoding import (
    FORM_TYPE,
    content,
    content_type,
    query_added,
    request_with,
)
from callboard.webhooks.events.directory import Account, Directory
from callboard.webhooks.events.event import Event
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.matching import HookIndex, candidates, fires
from callboard.webhooks.hooks.options import NO_OPTIONS, Options
from callboard.webhooks.modules.payload import final_payload
from callboard.webhooks.modules.protocol import EventModule, Firing
from callboard.webhooks.values.pickling import Positional

_identity_text = json.JSONEncoder(sort_keys=True).encode

ID_HEADER = "webhook-id"
"""The header with the delivery's id, by which a receiver knows a repeat (Standard Webhooks)."""


@frozen
class Delivery(Positional):
    """One request to make for one hook and one event, whatever tries it takes.

    `id` is the same whenever the same event comes again; `event_id` is made anew (ten hex digits)
    and names this firing in the attempts. `account_id` is the hook's. `trace`: what its tries are
    caused by, if that is known.
    """

    id: str
    event_id: str
    hook_id: str
    account_id: str
    hook_event: str
    uri: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    max_attempts: int = 2
    options: Options = NO_OPTIONS
    trace: TraceContext | None = None

    @property
    def webhook_id(self) -> str:
        """What receivers know it by; `id`, but for one that is sent once more (redelivery.py)."""
        sent = (value for name, value in reversed(self.headers) if name == ID_HEADER)
        return next(sent, self.id)

    @property
    def content(self) -> tuple[str, bytes]:
        """The payload as it is encoded, and the type of that, wherever the request has it."""
        if self.method == "GET":
            return FORM_TYPE, query_added(self.uri, self.url).encode()
        form = (value for name, value in self.headers if name.lower() == "content-type")
        return next(form, FORM_TYPE), self.body


def new_event_id() -> str:
    """Five random bytes as ten hex digits (Kazoo: kz_binary:rand_hex(5))."""
    return secrets.token_hex(5)


def delivery_id(event: Event, module_id: str, hook_id: str) -> str:
    """What identifies a delivery: 32 hex digits, the same on every redelivery of the event.

    Msg-ID alone will not do, since a switch makes it of the time: the event's name and the call's
    (or document's) identity take part too. The module's id does, as one event may fire a hook on
    `all` through several of them; and where there is no Msg-ID, as from other buses, exchange and
    routing key, with the AMQP message id, or without one the whole body.
    """
    body = event.body
    identity: Any = body.get("Msg-ID")
    if not identity:
        identity = [event.exchange, event.routing_key, event.message_id or body]
    subject = body.get("Call-ID") or [body.get("Database"), body.get("ID")]
    text = _identity_text([identity, event.name, subject, module_id, hook_id])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def deliveries(
    event: Event,
    module: EventModule,
    index: HookIndex,
    directory: Directory,
    cluster_id: str | None,
    make_event_id: Callable[[], str] = new_event_id,
) -> tuple[Delivery, ...]:
    """What an event has to be sent to whom; nothing if it is not the module's, or of no account.

    The account must exist, unless the firing says otherwise: Kazoo fires nothing for an unknown
    one. Raises what the module and the
    directory raise.
    """
    firing = module.firing(event, directory) if module.responds_to(event) else None
    if firing is None:
        return ()
    # A Kazoo cluster's id belongs into Kazoo's payloads; those of other buses are as configured.
    encoder = _Encoder(firing.payload, None if firing.any_account else cluster_id)
    return tuple(
        _delivery(delivery_id(event, module.id, hook.id), make_event_id(), hook, encoder, event)
        for hook in _hooks(firing, index, directory)
        if firing.selects(hook) and fires(hook, firing.payload)
    )


def _hooks(firing: Firing, index: HookIndex, directory: Directory) -> Iterator[Hook]:
    if firing.hooks is not None:
        yield from firing.hooks
        return
    account = directory.account(firing.account_id)
    if account is None and firing.any_account:
        account = Account(firing.account_id)
    if account is not None:
        yield from candidates(index, account, firing.event)


class _Encoder:
    """A firing's payload as the hooks send it: encoded once for all that send the same."""

    def __init__(self, payload: Mapping[str, Any], cluster_id: str | None) -> None:
        self._payload = payload
        self._cluster_id = cluster_id
        self._contents: dict[tuple[str, str], bytes] = {}

    def content(self, hook: Hook) -> bytes:
        form = content_type(hook)
        key = form, json.dumps(hook.custom_data) if hook.custom_data else ""
        if key not in self._contents:
            self._contents[key] = content(
                form, final_payload(hook, self._payload, self._cluster_id)
            )
        return self._contents[key]


def _delivery(id: str, event_id: str, hook: Hook, encoder: _Encoder, event: Event) -> Delivery:
    request = request_with(hook, encoder.content(hook))
    return Delivery(
        id=id,
        event_id=event_id,
        hook_id=hook.id,
        account_id=hook.account_id,
        hook_event=hook.event,
        uri=hook.uri,
        method=request.method,
        url=request.url,
        headers=(*request.headers, *hook.options.headers, (ID_HEADER, id)),
        body=request.body,
        max_attempts=hook.max_attempts,
        options=hook.options,
        trace=event.trace,
    )
