"""The base of actors that change documents in slices and publish the changes."""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from callboard.actors.base.role import BrokerRole, Setup
from callboard.actors.base.slices import Page, SlicedJob
from callboard.actors.hooks.change_publisher import change_publisher
from callboard.actors.messages import FlushHooks
from callboard.actors.messages.paths import FAILURE_CACHE
from callboard.adapters.broker.protocol import (
    BrokerEvent,
    ConnectionDown,
    ConnectionUp,
    IncomingMessage,
    Received,
    Topology,
)
from callboard.adapters.repositories.maintenance import DATABASE, Change
from callboard.adapters.store.protocol import StoreError


class StoreWorker(BrokerRole):
    """Works on the store slice by slice, by timer, and publishes the changes.

    Subclasses call `work_with` in `begin`, then `work`, and receive messages in `on_message`.
    """

    waits_for_store = True

    def begin(self, setup: Setup) -> None:
        """Connect to the store."""
        self.store = self.connect_store()
        self.accounts = self.directory(self.store)
        self.numbers = itertools.count(1)
        self._works: dict[int, Page | SlicedJob] = {}
        self._connected = False

    def work_with(self, topology: Topology) -> None:
        """Connect to the broker."""
        self.connect_broker(topology)
        self._changes = change_publisher(self)

    def stats(self) -> Mapping[str, Any]:
        """Jobs in progress, and unpublished changes."""
        return {
            "broker": "up" if self._connected else "down",
            "works": len(self._works),
            "unpublished": len(self._changes),
        }

    def work(self, piece: Page | SlicedJob, pause_s: float = 0.0) -> None:
        """Begin a job after `pause_s` seconds."""
        number = next(self.numbers)
        self._works[number] = piece
        self.after(pause_s, partial(self._go_on, number))

    def publish(self, changes: Sequence[Change]) -> None:
        """Publish changes to all nodes, and flush the failures of changed hooks."""
        hooks = tuple(
            (change.document["pvt_account_id"], change.document["_id"])
            for change in changes
            if change.database == DATABASE and "pvt_account_id" in change.document
        )
        if hooks and (cache := self.peer(FAILURE_CACHE)):
            self.send(cache, FlushHooks(hooks))
        self._changes.publish(changes)

    def on_message(self, message: IncomingMessage) -> None:
        """Handle a message from the topology's queue."""

    def on_broker(self, event: BrokerEvent) -> None:
        """Pass on messages; repeat unconfirmed changes."""
        self._changes.on_broker(event)
        match event:
            case Received(messages):
                for message in messages:
                    self.on_message(message)
            case ConnectionUp(queue):
                self._connected = True
                self.log.info("broker_up", queue=queue)
            case ConnectionDown(reason, retry_in_s):
                self._connected = False
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))

    def _go_on(self, number: int) -> None:
        piece = self._works.pop(number)
        try:
            step = next(piece.steps, None)
        except StoreError as problem:
            piece.done(tuple(piece.found), piece.after, str(problem))
            return
        if step is None:
            piece.done(tuple(piece.found), None, "")
            return
        self.publish(step.changes)
        if piece.take(step):
            piece.done(tuple(piece.found), piece.after, "")
        else:
            self._works[number] = piece
            self.after(0, partial(self._go_on, number))
