"""From an event to its deliveries: the domain's whole work in one call."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
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
from callboard.webhooks.events.event import Event, WholeEvent
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.matching import HookIndex, candidates, fires
from callboard.webhooks.hooks.options import NO_OPTIONS, Options
from callboard.webhooks.modules.payload import final_payload
from callboard.webhooks.modules.protocol import EventModule, Firing
from callboard.webhooks.values.pickling import Positional

_identity_text = json.JSONEncoder(sort_keys=True).encode

ID_HEADER = "webhook-id"
"""The header with the delivery's id, by which a receiver detects repeats (Standard Webhooks)."""


@frozen
class Delivery(Positional):
    """One request to make for one hook and one event, with all its attempts.

    `id` is the same each time the same event is redelivered; `event_id` (ten hex digits) is random
    for each firing and names it in the attempt records. `account_id` is the hook's. `trace`: the
    trace context that its attempts have as their parent, if known. `raw`: the body is the message's
    own, which is never converted to another form.
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
    raw: bool = False

    @property
    def webhook_id(self) -> str:
        """The id sent to receivers: `id`, except for a resent delivery (history/resending.py)."""
        sent = (value for name, value in reversed(self.headers) if name == ID_HEADER)
        return next(sent, self.id)

    @property
    def content(self) -> tuple[str, bytes]:
        """The encoded payload and its content type, from the body or the query."""
        if self.method == "GET":
            return FORM_TYPE, query_added(self.uri, self.url).encode()
        form = (value for name, value in self.headers if name.lower() == "content-type")
        return next(form, FORM_TYPE), self.body


def new_event_id() -> str:
    """Five random bytes as ten hex digits (Kazoo: kz_binary:rand_hex(5))."""
    return secrets.token_hex(5)


def delivery_id(event: Event, module_id: str, hook_id: str) -> str:
    """The delivery's identity: 32 hex digits, the same on every redelivery of the event.

    Msg-ID alone is not unique, since switches derive it from the time: the event's name and the
    call's (or document's) id are included. So is the module's id, because one event may fire a hook
    on `all` through several modules. Without Msg-ID, as on other buses, exchange and routing key
    identify the event together with the AMQP message id or, without one, the whole body.
    """
    body = event.body
    identity: Any = body.get("Msg-ID")
    if not identity:
        content: Any = body
        if isinstance(event, WholeEvent) and event.opaque:
            content = hashlib.blake2b(event.content).hexdigest()
        identity = [event.exchange, event.routing_key, event.message_id or content]
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
    """The deliveries of an event; none if the module ignores it or no account is known for it.

    The account must exist unless the firing permits any: Kazoo fires nothing for an unknown
    account. Raises the module's and the directory's errors.
    """
    firing = module.firing(event, directory) if module.responds_to(event) else None
    if firing is None:
        return ()
    # A Kazoo cluster's id belongs in Kazoo's payloads only; those of other buses are as configured.
    encoder = _Encoder(firing, None if firing.any_account else cluster_id)
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
    """A firing's payload as the hooks send it, encoded once for all hooks with the same form."""

    def __init__(self, firing: Firing, cluster_id: str | None) -> None:
        self._payload, self._raw = firing.payload, firing.raw
        self._cluster_id = cluster_id
        self._contents: dict[tuple[str, str], bytes] = {}

    def is_raw(self, hook: Hook) -> bool:
        """Whether the hook sends the message's own bytes."""
        return self._raw is not None and hook.verb != "get"

    def content(self, hook: Hook) -> tuple[str, bytes]:
        """The content type and the content."""
        if self._raw is not None and self.is_raw(hook):
            return self._raw
        form = content_type(hook)
        key = form, json.dumps(hook.custom_data) if hook.custom_data else ""
        if key not in self._contents:
            self._contents[key] = content(
                form, final_payload(hook, self._payload, self._cluster_id)
            )
        return form, self._contents[key]


def _delivery(id: str, event_id: str, hook: Hook, encoder: _Encoder, event: Event) -> Delivery:
    form, sent = encoder.content(hook)
    request = request_with(hook, sent, form)
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
        raw=encoder.is_raw(hook),
    )
