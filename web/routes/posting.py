"""Events from clients without a broker."""

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from callboard.adapters.broker.topic import matches
from callboard.adapters.repositories.posted_events import Noted, PostedEvents
from callboard.web.access.admission import POSTS
from callboard.web.access.callers import (
    TOKEN_PLACES,
    backend_of,
    poster,
    quotas_of,
)
from callboard.web.access.state import new_id, state_of
from callboard.web.access.tokens import Caller
from callboard.web.documents.shapes import POSTED
from callboard.web.envelopes.describing import (
    MOST_EVENTS,
    POST_EVENTS,
    POSTED_EVENT,
    posted,
)
from callboard.web.envelopes.envelope import success
from callboard.web.envelopes.middleware import PARSED_AT_ONCE
from callboard.web.errors import (
    ApiError,
    event_loop,
    forbidden,
    invalid_member,
    over_rate,
)
from callboard.web.operations.actor_requests import bad_argument, check_members, member, published
from callboard.webhooks.events.event import (
    MAX_NESTING,
    PoisonEvent,
    brackets,
    parse_event,
    too_deep,
)
from callboard.webhooks.hooks.arguments import BadArgument, account_argument
from callboard.webhooks.hooks.quotas import excess
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.hops import HOPS_HEADER, MAX_HOPS
from callboard.webhooks.modules.posted_event import EXCHANGE, MAX_NAME, NAME, PostedEvent
from callboard.webhooks.modules.samples import NoDirectory
from callboard.webhooks.values.exact_numbers import ExactNumber
from callboard.webhooks.values.kazoo_names import gregorian_s

router = APIRouter(prefix=POSTS, tags=["posting"])

SWEEP_S = 60.0
SWEEPS = 5
_KEY = re.compile(r"[!-~]{1,200}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_MEMBERS = POSTED_EVENT["properties"]


@frozen
class _Post:
    """What a client posts. `as_list`: it sent a list, and gets one."""

    events: Sequence[PostedEvent]
    as_list: bool

    @property
    def account_id(self) -> str:
        """The account of all of its events."""
        return self.events[0].account_id

    @property
    def fingerprint(self) -> str:
        """Equal for repeats of the same post."""
        told = [[e.name, e.account_id, e.data] for e in self.events]
        text = json.dumps(told if self.as_list else told[0], sort_keys=True)
        spelt = (number for e in self.events for number in _spelt(e.data))
        return hashlib.sha256("\n".join((text, *spelt)).encode()).hexdigest()

    def as_first_noted(self, id: str, at: int) -> "_Post":
        """The same events under the id and time of their first post; see `_ids`."""
        ids = _ids(id, len(self.events))
        first = [evolve(e, id=id, at=at) for id, e in zip(ids, self.events, strict=True)]
        return _Post(first, self.as_list)


@router.post(
    "",
    status_code=202,
    summary="Post events",
    openapi_extra=POST_EVENTS,
    responses=posted(POSTED),
    dependencies=TOKEN_PLACES,
)
async def post_events(request: Request) -> Response:
    """Hooks of the account on `event` fire for it. `data` is an event, or a list of up to 1000.

    202 means that all of them are on the broker's disk. The same `Idempotency-Key` and body return
    the same response for 24 hours. At least once: repeats have the same webhook-id. The events of
    a list have one account; if one of them is invalid, also by the schema of a `[[modules]]` table
    that rejects such events, none is published. 508: it was posted
    because of a delivery of ours, which was posted because of another, and so on.
    """
    # It runs without a thread, as far as nothing blocks, and waits without a slot.
    state, backend = state_of(request), backend_of(request)
    caller = await poster(request)
    state.envelope()
    if EXCHANGE.name not in backend.node.exchanges:
        off = {"message": "set api.events to true, and amqp.join_kazoo to false"}
        raise ApiError(409, "events_not_enabled", off)
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise invalid_member(
            "Idempotency-Key", "pattern", "must be 1 to 200 printable characters", value=key
        )
    now = time.time()
    if len(state.body) <= PARSED_AT_ONCE:
        post = _post_of(request, caller, now)
    else:
        post = await run_in_threadpool(_post_of, request, caller, now)
    await _count(request, post)
    if key is None:
        state.give_back_slot()
        if await _publish(request, post):
            raise _unroutable()
        return _accepted(request, post)
    notes = PostedEvents(backend.store)
    fingerprint = post.fingerprint
    noted = await run_in_threadpool(notes.note, post.events[0], key, fingerprint, now)
    if noted.fingerprint != fingerprint:
        told = {"message": "another body was posted with this Idempotency-Key"}
        raise ApiError(422, "idempotency_key_reused", told)
    first = post.as_first_noted(noted.event_id, noted.at)
    if not noted.published:
        state.give_back_slot()
        await _publish_noted(request, notes, noted, first)
        await run_in_threadpool(_sweep, request, notes, now)
    return _accepted(request, first)


def _accepted(request: Request, post: _Post) -> Response:
    shown = [{"id": event.id} for event in post.events]
    return success(request, shown if post.as_list else shown[0], status=202)


async def _count(request: Request, post: _Post) -> None:
    """Count the events for the account's rate. Raises ApiError 429."""
    quotas, account_id = quotas_of(request), post.account_id
    if not quotas.is_fresh(account_id):
        await run_in_threadpool(quotas.of, account_id)
    if not quotas.may_post(account_id, len(post.events)):
        most = quotas.known(account_id).events_per_s
        over = excess("events", "events_per_s", most, "the account posts more events a second")
        raise over_rate(over.reason, over.setting, account_id=account_id)


async def _publish_noted(request: Request, notes: PostedEvents, noted: Noted, post: _Post) -> None:
    """Publish the events as first recorded; then record that they were published."""
    if await _publish(request, post):
        await run_in_threadpool(notes.forget, noted)
        raise _unroutable()
    await run_in_threadpool(notes.published, noted)


async def _publish(request: Request, post: _Post) -> int:
    """Publish the events; returns how many found no queue. Raises ApiError 503."""
    messages = [(EXCHANGE.name, e.routing_key, e.body, "application/json") for e in post.events]
    return await published(request, messages)


def _unroutable() -> ApiError:
    return ApiError(
        409, "event_unroutable", {"message": "no queue takes events now: post it again later"}
    )


def _post_of(request: Request, caller: Caller, now: float) -> _Post:
    """The events in the request's body. Raises ApiError 400, 403; 413 for too many."""
    state = state_of(request)
    data = state.envelope().get("data")
    exact = state.exact()["data"] if isinstance(data, dict | list) and data else None
    match exact:
        case dict():
            prefix, found = "", [exact]
        case list() if len(exact) > MOST_EVENTS:
            at_a_time = f"{MOST_EVENTS} are taken at a time"
            raise invalid_member("data", "maxItems", at_a_time, target=MOST_EVENTS)
        case list() if all(isinstance(each, dict) for each in exact):
            prefix, found = "{}.", exact
        case _:
            told = 'the body must be {"data": {…}}, with an event or a list of events'
            raise ApiError(400, "parse_error", {"message": told})
    ids, hops = _ids(new_id(), len(found)), _hops(request)
    may_be_deep = brackets(state.body) > MAX_NESTING
    events = [
        _event(caller, members, id, now, prefix.format(number), may_be_deep=may_be_deep)
        for number, (id, members) in enumerate(zip(ids, found, strict=True))
    ]
    if hops:
        events = [evolve(event, hops=hops) for event in events]
    if len({event.account_id for event in events}) > 1:
        raise invalid_member("data", "error", "the events of a list must have one account")
    for number, event in enumerate(events):
        if fault := _rejection(backend_of(request).node.rejecting, event):
            raise invalid_member(f"{prefix.format(number)}payload", "schema", fault)
    return _Post(events, isinstance(exact, list))


def _rejection(modules: Sequence[BusModule], event: PostedEvent) -> str:
    """Why one of these modules would quarantine the event; empty if none would."""
    for module in modules:
        if any(matches(key, event.routing_key) for key in module.keys):
            try:
                message = parse_event(event.body, None, None, EXCHANGE.name, event.routing_key)
                if module.responds_to(message):
                    module.firing(message, NoDirectory())
            except PoisonEvent as problem:
                return str(problem)
    return ""


def _ids(id: str, count: int) -> list[str]:
    """The ids of events that are posted together: the first one's, and others made from it."""
    return [id, *(f"{id}-{number}" for number in range(1, count))]


def _event(
    caller: Caller,
    members: Mapping[str, Any],
    id: str,
    now: float,
    prefix: str,
    *,
    may_be_deep: bool,
) -> PostedEvent:
    """An event as it was posted. `prefix`: of its members' names in errors."""
    try:
        data = {k: v for k, v in members.items() if not k.startswith(("_", "pvt_"))}
        check_members(data, _MEMBERS)
        name, account_id = _name(data), _account(caller, data)
        payload = member(data, "payload", dict)
        if may_be_deep and too_deep({"data": {"payload": payload}}):
            raise invalid_member("payload", "error", "is nested too deep")
    except ApiError as error:
        if error.status == 400 and prefix:
            error.data = {f"{prefix}{path}": faults for path, faults in error.data.items()}
        raise
    return PostedEvent(id, name, account_id, gregorian_s(now), payload)


def _account(caller: Caller, data: Mapping[str, Any]) -> str:
    """The event's account. Raises ApiError 400, 403."""
    if "account_id" not in data and caller.account_id is not None:
        return caller.account_id
    try:
        account_id = account_argument(member(data, "account_id", str))
    except BadArgument as problem:
        raise bad_argument("account_id", problem) from None
    if not caller.sees_all and account_id != caller.account_id:
        raise forbidden()
    return account_id


def _name(data: Mapping[str, Any]) -> str:
    name = member(data, "name", str)
    if len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise invalid_member(
            "name",
            "pattern",
            f"must be words of letters, digits, _ and - with dots between them, {MAX_NAME} "
            "characters at most",
            value=name,
        )
    return name


def _hops(request: Request) -> int:
    """The hops of the delivery that caused this post. Raises ApiError 400, and 508 for a loop."""
    text = request.headers.get(HOPS_HEADER)
    if text is None:
        return 0
    if not _NUMBER.fullmatch(text):
        raise invalid_member(HOPS_HEADER, "pattern", "must be a whole number", value=text)
    if int(text) > MAX_HOPS:
        raise event_loop(MAX_HOPS)
    return int(text)


def _spelt(value: Any) -> Iterator[str]:
    """The numbers that `json` would write otherwise than they are spelt."""
    if isinstance(value, ExactNumber):
        yield value.text
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from _spelt(value[key])
    elif isinstance(value, list):
        for item in value:
            yield from _spelt(item)


def _sweep(request: Request, notes: PostedEvents, now: float) -> None:
    """Delete records older than a day, about every minute, as part of a post."""
    if now - getattr(request.app.state, "swept_at", 0.0) < SWEEP_S:
        return
    request.app.state.swept_at = now
    for _chunk in range(SWEEPS):
        if not notes.sweep(now):
            return
