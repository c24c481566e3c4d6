"""Handles requests on the bus to re-enable hooks (wire: doc_type_update)."""

import json
import time
from typing import Any

from callboard.actors.base.role import Setup
from callboard.actors.base.slices import SlicedJob
from callboard.actors.operations.store_worker import StoreWorker
from callboard.adapters.broker.protocol import (
    DIRECT,
    Binding,
    Exchange,
    IncomingMessage,
    OutgoingMessage,
    Topology,
    json_properties,
)
from callboard.adapters.broker.publications import event_in
from callboard.adapters.broker.queues import queue_of_running_nodes
from callboard.adapters.repositories import maintenance as work
from callboard.adapters.store.protocol import StoreError
from callboard.adapters.store.views import ACCOUNTS
from callboard.admin import Cursor
from callboard.config.settings import Settings
from callboard.webhooks.events.event import PoisonEvent
from callboard.webhooks.hooks.doc_type_update import (
    ACCOUNT,
    DocTypeUpdate,
    InvalidRequest,
    doc_type_updated,
    parse_doc_type_update,
)
from callboard.webhooks.values.kazoo_names import gregorian_s

REQUESTS_AT_ONCE = 10


class DocTypeUpdateListener(StoreWorker):
    """Re-enables hooks for Crossbar and replies (Kazoo: handle_doc_type_update).

    All nodes share the request queue. It goes away with the last node, so that the broker returns
    requests when no node runs. Requesters wait for two seconds, even if the work takes longer.
    """

    def begin(self, setup: Setup) -> None:
        """Listen for requests."""
        super().begin(setup)
        self.work_with(topology(self.settings))

    def prepare_accounts(self) -> None:
        """Create the views of `accounts` in the embedded store; elsewhere Kazoo does."""
        if self.settings.couchdb.url.startswith("sqlite:"):
            self.store.ensure_database("accounts")
            self.store.ensure_views("accounts", ACCOUNTS)

    def on_message(self, message: IncomingMessage) -> None:
        """Re-enable the hooks of an account (wire: doc_type_update)."""
        try:
            event = event_in(message)
            request = parse_doc_type_update(event.body)
            if request.action != ACCOUNT:
                self.prepare_accounts()
        except (PoisonEvent, InvalidRequest, StoreError) as problem:
            self.log.warning("doc_type_update_refused", reason=str(problem))
            self.broker.ack([message.tag])
            return

        def done(found: tuple[Any, ...], _after: Cursor | None, problem: str) -> None:
            self._finish_request(request, [f.problem or f.failed for f in found], problem)
            self.broker.ack([message.tag])

        enable = work.enable_account if request.action == ACCOUNT else work.enable_descendants
        steps = enable(self.store, request.account_id, gregorian_s(time.time()))
        self.work(SlicedJob(steps, done))

    def _finish_request(self, request: DocTypeUpdate, failures: list[Any], problem: str) -> None:
        """Reply if all hooks were enabled; after a failure there is no reply."""
        about = {"action": request.action, "account": request.account_id}
        if failures or problem:
            self.log.warning("doc_type_update_failed", reason=problem or failures[0], **about)
            return
        self.log.info("doc_type_update_done", **about)
        if request.reply_to is not None:
            headers = {"Deliver-To-PID": request.pid} if request.pid is not None else {}
            body = json.dumps(doc_type_updated(request, self.settings.node.name)).encode()
            properties = json_properties(time.time(), headers)
            self.broker.publish(OutgoingMessage("targeted", request.reply_to, body, properties))


def topology(settings: Settings) -> Topology:
    """The queue of requests, which all running nodes share.

    An earlier version had one by another name, because a queue cannot become durable. While nodes
    of both versions run, each request is carried out by one of each, which changes nothing.
    """
    amqp = settings.amqp
    return Topology(
        exchanges=(Exchange("configuration"), Exchange("targeted", DIRECT)),
        queue=queue_of_running_nodes(f"{amqp.queue}.requests", amqp.queue_type),
        bindings=(Binding("configuration", "configuration.doc_type_update.webhook"),),
        prefetch=REQUESTS_AT_ONCE,
        obsolete=(f"{amqp.queue}.doc_type_update",),
    )
