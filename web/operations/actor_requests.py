"""Asks actors on a client's behalf, and reads the client's arguments."""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
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
    results: Results = state.results
    try:
        return (await results.of(backend.publish(messages))).unroutable
    except TimeoutError:
        silence = f"the broker did not answer within {state.publish_s:g} s"
        raise datastore_timeout(silence) from None
    except RefusedByActor as refusal:
        if refusal.cause in ("blocked", "busy"):
            raise refused(refusal) from None
        told = {"message": "the broker did not take it", "cause": str(refusal)}
        raise ApiError(503, "broker_unreachable", told) from None


class Results:
    """The results of futures that another thread settles, for requests of one event loop.

    Those of one moment wake the loop once, since each wake-up is a system call, and all requests
    share one timer. `limit_s`: how long a request waits.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._settled: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._woken = False
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()  # by their deadlines
        self._timer: asyncio.TimerHandle | None = None

    async def of(self, future: "Future[A]") -> A:
        """The future's result. Raises TimeoutError; cancels it if the request stops waiting."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[A] = loop.create_future()
        future.add_done_callback(partial(self._add, result))
        self._waiting.append((loop.time() + self._limit_s, result))
        if self._timer is None:
            self._timer = loop.call_later(self._limit_s, self._look, loop)
        try:
            return await result
        finally:
            future.cancel()
            while self._waiting and self._waiting[0][1].done():
                self._waiting.popleft()
            if self._timer is not None and not self._waiting:
                self._timer.cancel()
                self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        for deadline, result in self._waiting:
            if deadline > loop.time():
                self._timer = loop.call_at(deadline, self._look, loop)
                return
            if not result.done():
                result.set_exception(TimeoutError())
        self._timer = None

    def _add(self, result: "asyncio.Future[Any]", future: "Future[Any]") -> None:
        """Called in the thread that settles the future, or by `of` when it cancels it."""
        if result.done():
            return
        self._settled.append((result, future))
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # The loop is closed.
                result.get_loop().call_soon_threadsafe(self._give)

    def _give(self) -> None:
        self._woken = False  # Before the first is taken: what is added from now on wakes again.
        while self._settled:
            result, future = self._settled.popleft()
            if result.done():
                continue
            if error := future.exception():
                result.set_exception(error)
            else:
                result.set_result(future.result())


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
