"""From an event to its deliveries: the domain's whole work in one call."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from attrs import evolve, field, frozen

from callboard.webhooks.deliveries.encoding import (
    FORM_TYPE,
    JSON_TYPE,
    content,
    content_type,
    query_added,
    with_query,
)
from callboard.webhooks.deliveries.shaping import UNIT_BYTES, Shaping, shaped_content
from callboard.webhooks.events.directory import Account, Directory
from callboard.webhooks.events.event import Event
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.matching import HookIndex, candidates, fires
from callboard.webhooks.hooks.options import NO_OPTIONS, Options
from callboard.webhooks.modules.payload import final_payload
from callboard.webhooks.modules.protocol import EventModule, Firing
from callboard.webhooks.values.event_outcomes import FILTERED, NO_ACCOUNT, NO_HOOK
from callboard.webhooks.values.exact_numbers import json_bytes
from callboard.webhooks.values.pickling import Positional

KEPT_BYTES = 4_000_000
"""The most bytes of encoded payloads with custom data that an event keeps for further hooks."""

_identity_text = json.JSONEncoder(sort_keys=True).encode

OVERHEAD_BYTES = 700
"""The size of a delivery beside its payload, URL and the hook's own headers."""

FAULT_HEADER = "X-Callboard-Schema-Fault"
"""The header of deliveries whose payload its module's schema does not allow: the first fault."""

ID_HEADER = "webhook-id"
"""The header with the delivery's id, by which a receiver detects repeats (Standard Webhooks)."""


@frozen
class Delivery(Positional):
    """One request to make for one hook and one event, with all its attempts.

    `id` is the same each time the same event is redelivered; `event_id` (ten hex digits) is random
    for each firing and names it in the attempt records. `account_id` is the hook's. `body`: the
    encoded payload, which a get sends in its query unless `url` has it there already; deliveries
    with the same payload share it. `trace`: the trace context that its attempts have as their
    parent, if known. `raw`: the body is the message's own, which is never converted to another
    form. `source`: the JSON of a payload that is sent as a form, in case its hook's format changes
    while it waits. `unstored`: its hook came in the event, and is not stored; None: unknown, as in
    messages of an earlier version. `reference`: as in `Firing`.
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
    source: bytes = field(default=b"", repr=False)
    unstored: bool | None = False
    reference: str = ""

    @property
    def webhook_id(self) -> str:
        """The id sent to receivers: `id`, except for a resent delivery (history/resending.py)."""
        sent = (value for name, value in reversed(self.headers) if name == ID_HEADER)
        return next(sent, self.id)

    @property
    def content(self) -> tuple[str, bytes]:
        """The encoded payload and its content type, from the body or the query."""
        if self.method == "GET":
            return FORM_TYPE, self.body or query_added(self.uri, self.url).encode()
        form = (value for name, value in self.headers if name.lower() == "content-type")
        return next(form, FORM_TYPE), self.body

    @property
    def request_url(self) -> str:
        """The URL to send, with the payload of a get."""
        return with_query(self.url, self.body.decode()) if self.method == "GET" else self.url

    @property
    def request_body(self) -> bytes:
        """The body to send, which is signed; empty for a get."""
        return b"" if self.method == "GET" else self.body

    @property
    def size(self) -> int:
        """The approximate size in bytes, in a message or in memory."""
        return len(self.body) + len(self.source) + self.bare_size

    @property
    def bare_size(self) -> int:
        """The size without the payload, which deliveries of an event may share."""
        size = OVERHEAD_BYTES + len(self.uri) + len(self.url)
        if own := self.options.headers:
            size += sum([len(value) for _name, value in own])
        return size


def new_event_id() -> str:
    """Five random bytes as ten hex digits (Kazoo: kz_binary:rand_hex(5))."""
    return secrets.token_hex(5)


def delivery_id(event: Event, module_id: str, hook_id: str) -> str:
    """The delivery's identity: 32 hex digits, the same on every redelivery of the event.

    Msg-ID alone is not unique, since switches derive it from the time: the event's name and the
    call's (or document's) id are included. So is the module's id, because one event may fire a hook
    on `all` through several modules. Without Msg-ID, as on other buses, exchange and routing key
    identify the event together with the AMQP message id or, without one, the message's bytes.
    """
    return _Identity(event, module_id).of(hook_id)


class _Identity:
    """The ids of an event's deliveries; the part of the event is computed once."""

    def __init__(self, event: Event, module_id: str) -> None:
        body = event.body
        identity: Any = body.get("Msg-ID")
        if not identity:
            content = event.content or _identity_text(body).encode()
            whole = event.message_id or hashlib.blake2b(content).hexdigest()
            identity = [event.exchange, event.routing_key, whole]
        subject = body.get("Call-ID") or [body.get("Database"), body.get("ID")]
        text = _identity_text([identity, event.name, subject, module_id])
        self._begun = hashlib.blake2b(text[:-1].encode(), digest_size=16)

    def of(self, hook_id: str) -> str:
        whole = self._begun.copy()
        whole.update(_end_of_identity(hook_id))
        return whole.hexdigest()


@lru_cache(maxsize=4096)
def _end_of_identity(hook_id: str) -> bytes:
    return f", {_identity_text(hook_id)}]".encode()


class FanOut:
    """An event that fires hooks, and the making of their deliveries, one by one.

    `hooks`: those that it fires, each account's together. `in_order`: further ones, whose
    deliveries go into queues of their own; a hook that was never stored has none.
    """

    def __init__(
        self,
        event: Event,
        module_id: str,
        firing: Firing,
        hooks: Sequence[Hook],
        cluster_id: str | None,
        make_event_id: Callable[[], str] = new_event_id,
        shaping: Shaping | None = None,
    ) -> None:
        self.hooks = hooks
        self.in_order: Sequence[Hook] = ()
        self._trace, self._make_event_id = event.trace, make_event_id
        self._ids = _Identity(event, module_id)
        self._unstored = firing.hooks is not None
        self._reference = firing.reference
        fault = ((FAULT_HEADER, _header_value(firing.fault)),) if firing.fault else ()
        self._added = (*firing.headers, *fault)
        if not self._unstored and any(hook.options.in_order for hook in hooks):
            self.hooks = [hook for hook in hooks if not hook.options.in_order]
            self.in_order = [hook for hook in hooks if hook.options.in_order]
        # A Kazoo cluster's id belongs in Kazoo's payloads only; those of other buses are as
        # configured.
        self._encoder = _Encoder(firing, None if firing.any_account else cluster_id, shaping)
        self._shaping = shaping

    @property
    def encoded_bytes(self) -> int:
        """The size of the payloads encoded so far; hooks that send the same share one.

        Transforms count by the time that they take.
        """
        worked = self._shaping.work * UNIT_BYTES if self._shaping else 0
        return self._encoder.encoded_bytes + worked

    def make(self, hook: Hook) -> Delivery:
        """The delivery for one of the hooks.

        Raises NotWanted, Unshapable, and the errors of the payload's encoding.
        """
        if self._shaping is not None:
            self._shaping.check(hook)
        return self._delivery(hook, *self._encoder.content(hook))

    def without_payload(self, hook: Hook) -> Delivery:
        """The delivery for a hook without its payload, for the record that it is not sent."""
        return self._delivery(hook, content_type(hook), b"", b"")

    def _delivery(self, hook: Hook, form: str, body: bytes, source: bytes) -> Delivery:
        if self._unstored and hook.options.in_order:
            hook = evolve(hook, options=evolve(hook.options, ordered=False, paused=False))
        return delivery_of(
            hook,
            form,
            body,
            id=self._ids.of(hook.id),
            event_id=self._make_event_id(),
            added_headers=self._added,
            trace=self._trace,
            raw=self._encoder.is_raw(hook),
            source=source,
            unstored=self._unstored,
            reference=self._reference,
        )


def delivery_of(
    hook: Hook,
    form: str,
    body: bytes,
    id: str,
    event_id: str,
    webhook_id: str = "",
    added_headers: tuple[tuple[str, str], ...] = (),
    max_attempts: int | None = None,
    trace: TraceContext | None = None,
    raw: bool = False,
    source: bytes = b"",
    unstored: bool | None = False,
    reference: str = "",
) -> Delivery:
    """A delivery as its hook would send it. `form`: the content type of the encoded `body`.

    `webhook_id`: the id sent to receivers, if it is not `id`. `max_attempts`: by default the
    hook's. `added_headers`: those beside the hook's own.
    """
    names = (("X-Hook-ID", hook.id), ("X-Account-ID", hook.account_id))
    own = (*hook.options.headers, *added_headers, (ID_HEADER, webhook_id or id))
    if hook.verb == "get":
        method, url, headers = "GET", with_query(hook.uri, ""), (*names, *own)
    else:
        method, url = hook.verb.upper(), hook.uri
        headers = (("Content-Type", form), *names, *own)
    return Delivery(
        id,
        event_id,
        hook.id,
        hook.account_id,
        hook.event,
        hook.uri,
        method,
        url,
        headers,
        body,
        hook.max_attempts if max_attempts is None else max_attempts,
        hook.options,
        trace,
        raw,
        source,
        unstored,
        reference,
    )


def fan_out(
    event: Event,
    module: EventModule,
    index: HookIndex,
    directory: Directory,
    cluster_id: str | None,
    make_event_id: Callable[[], str] = new_event_id,
    unfired: Callable[[str], object] = str,
) -> FanOut | None:
    """The fan-out of an event; None if it fires no hook: `unfired` is then called with the outcome.

    The account must exist unless the firing permits any: Kazoo fires nothing for an unknown
    account. Raises the module's and the directory's errors.
    """
    if not module.responds_to(event):
        unfired(FILTERED)
        return None
    firing = module.firing(event, directory)
    if firing is None:
        unfired(NO_ACCOUNT)
        return None
    selects, payload = firing.selects, firing.payload
    hooks = [
        hook for hook in _hooks(firing, index, directory) if selects(hook) and fires(hook, payload)
    ]
    shaping = None
    if [None for hook in hooks if hook.shape is not None]:
        shaping = Shaping(event, module.id, firing.account_id, payload)
        hooks = list(filter(shaping.wants, hooks))
    if not hooks:
        unfired(NO_HOOK)
        return None
    return FanOut(event, module.id, firing, hooks, cluster_id, make_event_id, shaping)


def deliveries(
    event: Event,
    module: EventModule,
    index: HookIndex,
    directory: Directory,
    cluster_id: str | None,
    make_event_id: Callable[[], str] = new_event_id,
) -> tuple[Delivery, ...]:
    """All deliveries of an event, made at once. Raises the errors of `fan_out` and `make`."""
    made = fan_out(event, module, index, directory, cluster_id, make_event_id)
    return () if made is None else tuple(map(made.make, (*made.hooks, *made.in_order)))


def _hooks(firing: Firing, index: HookIndex, directory: Directory) -> Iterable[Hook]:
    if firing.hooks is not None:
        return firing.hooks
    account = directory.account(firing.account_id)
    if account is None and firing.any_account:
        account = Account(firing.account_id)
    if account is not None and firing.above:
        account = evolve(account, tree=tuple(dict.fromkeys((*account.tree, *firing.above))))
    return () if account is None else candidates(index, account, firing.event)


def _header_value(text: str) -> str:
    """The text in printable ASCII; other characters in Python's notation."""
    return "".join(c if c.isascii() and c.isprintable() else ascii(c)[1:-1] for c in text).strip()


def _transform(hook: Hook) -> str:
    return "" if hook.shape is None else hook.shape.transform


class _Encoder:
    """A firing's payload as the hooks send it, encoded once for all hooks with the same form.

    Hooks with custom data of their own may be many, so that their contents are not all kept.
    """

    def __init__(self, firing: Firing, cluster_id: str | None, shaping: Shaping | None) -> None:
        self._payload, self._raw = firing.payload, firing.raw
        self._cluster_id, self._shaping = cluster_id, shaping
        self._contents: dict[tuple[str, str], tuple[bytes, bytes]] = {}
        self._kept_bytes = 0
        self.encoded_bytes = 0 if self._raw is None else len(self._raw[1])

    def is_raw(self, hook: Hook) -> bool:
        """Whether the hook sends the message's own bytes."""
        return self._raw is not None and hook.verb != "get" and not _transform(hook)

    def content(self, hook: Hook) -> tuple[str, bytes, bytes]:
        """The content type, the content, and the JSON of a content that is a form."""
        if self._raw is not None and self.is_raw(hook):
            return *self._raw, b""
        form = content_type(hook)
        key = form, json.dumps(hook.custom_data) if hook.custom_data else ""
        if hook.shape is not None and hook.shape.transform:
            key = form, f"{key[1]}\n{hook.shape.transform}"
        found = self._contents.get(key)
        if found is None:
            payload: Any = final_payload(hook, self._payload, self._cluster_id)
            if (transform := _transform(hook)) and self._shaping is not None:
                payload = self._shaping.transformed(transform, payload)
                encoded = shaped_content(hook, payload)[1]
            else:
                encoded = content(form, payload)
            found = encoded, b"" if form == JSON_TYPE else json_bytes(payload)
            size = sum(map(len, found))
            self.encoded_bytes += size
            self._kept_bytes += size + len(key[1])
            if key[1] and self._kept_bytes > KEPT_BYTES:
                self._contents = {k: kept for k, kept in self._contents.items() if not k[1]}
                self._kept_bytes = size + len(key[1])
            self._contents[key] = found
        return form, *found
