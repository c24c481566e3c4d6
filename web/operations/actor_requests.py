"""Asks actors on a client's behalf, and reads the client's arguments."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request

from callboard.actors.messages import NoAnswer, RefusedByActor
from callboard.web.backend import Backend
from callboard.web.errors import (
    ApiError,
    datastore_timeout,
    invalid,
    invalid_member,
    refused,
)
from callboard.webhooks.hooks.arguments import BadArgument

A = TypeVar("A")


def asked(backend: Backend, path: str, message: Any, kind: type[A], timeout_s: float = 10.0) -> A:
    """An actor's reply. Raises ApiError: 503 if there is none, or as `refused` if it refuses."""
    try:
        return backend.ask(path, message, kind, timeout_s)
    except NoAnswer as silence:
        raise datastore_timeout(str(silence)) from None
    except RefusedByActor as refusal:
        raise refused(refusal) from None


async def replied(
    backend: Backend, path: str, message: Any, kind: type[A], timeout_s: float = 5.0
) -> A:
    """An actor's reply, awaited without a thread. Raises NoAnswer, RefusedByActor."""
    asked = asyncio.wrap_future(backend.question(path, message, kind))
    try:
        return await asyncio.wait_for(asked, timeout_s)
    except TimeoutError:
        raise NoAnswer(f"{path} did not answer within {timeout_s:g} s") from None


async def published(request: Request, messages: Sequence[tuple[str, str, bytes, str]]) -> int:
    """Publish messages without a thread; returns how many found no queue. Raises ApiError 503."""
    state = request.app.state
    backend: Backend = state.backend
    try:
        done = asyncio.wrap_future(backend.publish(messages))
        return (await asyncio.wait_for(done, state.publish_s)).unroutable
    except TimeoutError:
        silence = f"the broker did not answer within {state.publish_s:g} s"
        raise datastore_timeout(silence) from None
    except RefusedByActor as refusal:
        if refusal.cause in ("blocked", "busy"):
            raise refused(refusal) from None
        told = {"message": "the broker did not take it", "cause": str(refusal)}
        raise ApiError(503, "broker_unreachable", told) from None


def check_members(data: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise ApiError 400 for unknown members: a typing error could do harm."""
    unknown = sorted(set(data) - set(known))
    if unknown:
        message = f"there are only {', '.join(sorted(known)) or 'none'}"
        raise invalid({name: {"additionalProperties": {"message": message}} for name in unknown})


def member(data: Mapping[str, Any], name: str, kind: type[A], default: A | None = None) -> A:
    """A member of that class. Raises ApiError 400, also if it is missing and has no default."""
    value = data.get(name, default)
    if value is None:
        raise invalid_member(name, "required", "Field is required but missing", value=None)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        message = f"Value did not match type(s): {_NAMES[kind]}"
        raise invalid_member(name, "type", message, target=_NAMES[kind], value=value)
    return value


_NAMES: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    list: "array",
    dict: "object",
}


def bad_argument(name: str, problem: BadArgument) -> ApiError:
    """400: that member breaks a rule."""
    return invalid_member(name, "error", str(problem))


def ids_of(data: Mapping[str, Any], most: int) -> tuple[str, ...]:
    """The member `ids`: each once. Raises ApiError 400."""
    ids = member(data, "ids", list)
    if not ids or not all(isinstance(id, str) and id for id in ids):
        raise invalid_member("ids", "type", "must be ids of at least one", value=ids)
    if len(ids) > most:
        raise invalid_member("ids", "maxItems", f"{most} are taken at a time", target=most)
    return tuple(dict.fromkeys(ids))
