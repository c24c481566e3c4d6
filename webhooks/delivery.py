"""From an event to its deliveries: the whole of the domain in one call."""

import hashlib
import secrets
from collections.abc import Callable

from attrs import field, frozen

from callboard.webhooks.directory import Directory
from callboard.webhooks.encoding import HttpRequest, request_for
from callboard.webhooks.event import Event
from callboard.webhooks.hook import Hook
from callboard.webhooks.matching import HookIndex, candidates, fires
from callboard.webhooks.module import EventModule
from callboard.webhooks.payload import final_payload


@frozen
class Delivery:
    """One request to make for one hook and one event, whatever tries it takes.

    `id` is the same whenever the same event comes again; `event_id` is made anew (ten hex digits)
    and names this firing in the attempts. `account_id` is the hook's.
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
    tries: int = 2


def new_event_id() -> str:
    """Five random bytes as ten hex digits (Kazoo: kz_binary:rand_hex(5))."""
    return secrets.token_hex(5)


def delivery_id(event: Event, hook_id: str) -> str:
    """What identifies a delivery: 32 hex digits, the same on every redelivery of the event.

    Msg-ID alone will not do, since a switch makes it of the time: the event's name and the call's
    (or document's) identity take part too.
    """
    body = event.body
    subject = body.get("Call-ID") or f"{body.get('Database')}/{body.get('ID')}"
    text = "\0".join(str(part) for part in (body.get("Msg-ID"), event.name, subject, hook_id))
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=16).hexdigest()


def deliveries(
    event: Event,
    module: EventModule,
    index: HookIndex,
    directory: Directory,
    cluster_id: str | None,
    make_event_id: Callable[[], str] = new_event_id,
) -> tuple[Delivery, ...]:
    """What an event has to be sent to whom; nothing if it is not the module's, or of no account.

    The account must exist: Kazoo fires nothing for an unknown one.
    """
    firing = module.firing(event, directory) if module.responds_to(event) else None
    account = directory.account(firing.account_id) if firing is not None else None
    if firing is None or account is None:
        return ()
    return tuple(
        _delivery(event, hook, request_for(hook, final_payload(hook, firing.payload, cluster_id)),
                  make_event_id())
        for hook in candidates(index, account, firing.event)
        if firing.selects(hook) and fires(hook, firing.payload)
    )


def _delivery(event: Event, hook: Hook, request: HttpRequest, event_id: str) -> Delivery:
    return Delivery(
        id=delivery_id(event, hook.id),
        event_id=event_id,
        hook_id=hook.id,
        account_id=hook.account_id,
        hook_event=hook.event,
        uri=hook.uri,
        method=request.method,
        url=request.url,
        headers=request.headers,
        body=request.body,
        tries=hook.tries,
    )
