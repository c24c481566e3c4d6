"""Samples the system about once a second, for any number of open pages."""

import asyncio
import time
from typing import Any, TypeVar

import structlog

from callboard.actors.messages import GetFigures, GetHealth, Health, NoAnswer, RefusedByActor
from callboard.actors.messages.paths import METRICS
from callboard.supervision import GetTree, TreeNode
from callboard.web.backend import Backend
from callboard.web.live.event_stream import event
from callboard.web.live.live_view import history, tick
from callboard.webhooks.metrics.snapshot import Snapshot

PERIOD_S = 1.0
ANSWER_S = 3.0
"""How long an actor may take to reply, in seconds."""
WATCHERS = 32
"""The most pages served at once."""
AHEAD = 8
"""The most samples that may wait for a slow reader before it is dropped."""

A = TypeVar("A")

_log = structlog.get_logger("callboard")


class Watcher:
    """An open page: the frames to send to it."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue(AHEAD + 1)

    async def __aiter__(self) -> Any:
        """The frames, until it is dropped or the sampler ends."""
        while (frame := await self._frames.get()) is not None:
            yield frame

    def tell(self, frame: bytes) -> bool:
        """Add a frame; returns whether there was room."""
        if self._frames.qsize() >= AHEAD:
            self.end()
            return False
        self._frames.put_nowait(frame)
        return True

    def end(self) -> None:
        """End the stream."""
        if not self._frames.full():
            self._frames.put_nowait(None)


class Sampler:
    """Queries the tree and the figures while pages are open, and sends all of them the same.

    Runs in the server's event loop. `period_s`: between two samples; `answer_s` and `most`: see
    ANSWER_S and WATCHERS.
    """

    def __init__(
        self,
        backend: Backend,
        period_s: float = PERIOD_S,
        answer_s: float = ANSWER_S,
        most: int = WATCHERS,
    ) -> None:
        self._backend = backend
        self._period_s, self._answer_s, self._most = period_s, answer_s, most
        self._watchers: set[Watcher] = set()
        self._task: asyncio.Task[None] | None = None
        self._history: bytes | None = None
        self._closed = False

    def watch(self) -> Watcher | None:
        """A new watcher; None if there are too many. Pass it to `leave` in the end."""
        if self._closed or len(self._watchers) >= self._most:
            return None
        watcher = Watcher()
        if self._history is not None:
            watcher.tell(self._history)
        self._watchers.add(watcher)
        if self._task is None:
            self._task = asyncio.create_task(self._sample())
            self._task.add_done_callback(self._ended)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Remove a watcher."""
        self._watchers.discard(watcher)

    def close(self) -> None:
        """End all streams, as the server is about to end."""
        self._closed = True
        for watcher in self._watchers:
            watcher.end()
        self._watchers.clear()

    async def _sample(self) -> None:
        while self._watchers:
            began = time.monotonic()
            await self._look()
            await asyncio.sleep(max(0.0, self._period_s - (time.monotonic() - began)))

    async def _look(self) -> None:
        tree, snapshot, health = await asyncio.gather(
            self._asked("", GetTree(), TreeNode),
            self._asked(METRICS, GetFigures(), Snapshot),
            self._asked(METRICS, GetHealth(), Health),
        )
        answers = (tree, snapshot, health)
        problems = list(dict.fromkeys(answer for answer in answers if isinstance(answer, str)))
        if isinstance(health, Health):
            problems += (*health.described, *(f"degraded: {loss}" for loss in health.losses))
        figures = snapshot if isinstance(snapshot, Snapshot) else None
        now = tick(
            self._backend.node,
            time.time(),
            tree if isinstance(tree, TreeNode) else None,
            figures,
            problems,
        )
        first = self._history is None
        self._history = event("history", history(figures)) if figures else None
        frames = [event("tick", now)]
        if first and self._history is not None:
            frames.insert(0, self._history)
        for watcher in tuple(self._watchers):
            if not all(watcher.tell(frame) for frame in frames):
                self._watchers.discard(watcher)
                _log.warning("live_reader_dropped", reason="it reads too slowly")

    async def _asked(self, path: str, message: Any, kind: type[A]) -> A | str:
        """The reply or, in words, the reason for its absence."""
        future = self._backend.question(path, message, kind)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._answer_s)
        except TimeoutError:
            return f"{path or 'the top supervisor'} does not answer"
        except (NoAnswer, RefusedByActor) as problem:
            return str(problem)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """There are no watchers left; or it failed, and the pages will reconnect."""
        self._task, self._history = None, None
        for watcher in self._watchers:
            watcher.end()
        self._watchers.clear()
        if not task.cancelled() and (problem := task.exception()) is not None:
            _log.error("live_sampler_failed", exc_info=problem)
