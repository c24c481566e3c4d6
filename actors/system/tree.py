"""The top of Callboard's tree (Kazoo: webhooks_sup)."""

import os
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen
from thespian.actors import ActorAddress, WatchMessage

from callboard.actors.api.server import ApiServer
from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.notification_publisher import subscribers_of
from callboard.actors.base.role import Setup
from callboard.actors.delivery.attempt_log import AttemptLog
from callboard.actors.delivery.deliverer import Deliverer
from callboard.actors.delivery.retry_queue import RetryQueue
from callboard.actors.events.bridge import EventBridge
from callboard.actors.events.responder import Responder
from callboard.actors.failures.disabler import Disabler
from callboard.actors.failures.failure_cache import FailureCache
from callboard.actors.hooks.listener import DOCUMENT_READERS, HookListener
from callboard.actors.hooks.table import HookTable
from callboard.actors.hooks.zone_listener import ZoneListener
from callboard.actors.messages import Ask, GetSettings, Quiesce, Quiesced, Refused
from callboard.actors.messages.notifications import DELIVERY_FAILED, HOOK_DISABLED
from callboard.actors.messages.paths import (
    ALL_DELIVERERS,
    ALL_RESPONDERS,
    API,
    ATTEMPT_LOG,
    DELIVERIES,
    DISABLER,
    ELSEWHERE,
    EVENT_BRIDGE,
    FAILURE_CACHE,
    HOOK_LISTENER,
    HOOK_TABLE,
    INITIALIZER,
    MAINTENANCE,
    METRICS,
    REDELIVERY,
    RESPONDERS,
    RETRY_QUEUE,
    id_of,
)
from callboard.actors.metrics.metrics import Metrics
from callboard.actors.operations.initializer import Initializer
from callboard.actors.operations.maintenance import Maintenance
from callboard.actors.operations.redelivery import Redelivery
from callboard.actors.system.subscription_registry import SubscriptionRegistry
from callboard.actors.system.worker_capabilities import WorkerCapabilities
from callboard.admin import AdminRequest, RedeliveryRequest
from callboard.config.logs import configure_logs, logger
from callboard.config.redacted import without_secrets
from callboard.config.settings import Settings
from callboard.supervision import (
    REMOTE_SUPERVISORS_STOP_S,
    TEMPORARY,
    ChildSpec,
    Forwarded,
    RemoteSupervisors,
    RemoteSupervisorsSpec,
    Supervisor,
    SupervisorSpec,
)

DRAIN_S = 10.0
"""How long events under way may take to settle before the tree is stopped."""


def tree(settings: Settings) -> SupervisorSpec:
    """The whole supervision tree, in starting order."""
    setup = Setup(settings)
    responders = tuple(
        ChildSpec(
            module.id,
            Responder,
            Setup(settings, module.id),
            peers=(METRICS, EVENT_BRIDGE, HOOK_TABLE, ALL_DELIVERERS),
        )
        for module in event_modules(settings).modules
    )
    workers = settings.delivery.workers or os.cpu_count() or 1
    deliverers = deliverer_specs(setup, workers)
    attempt_log = ChildSpec(
        id_of(ATTEMPT_LOG),
        AttemptLog,
        setup,
        peers=(METRICS, ALL_DELIVERERS),
    )
    retry_queue = ChildSpec(
        id_of(RETRY_QUEUE),
        RetryQueue,
        setup,
        peers=(METRICS, ALL_DELIVERERS),
    )
    bridge_peers = (METRICS, ALL_RESPONDERS, ALL_DELIVERERS)

    zone_listeners = (
        ChildSpec(
            f"zone_listener-{number}",
            ZoneListener,
            Setup(settings, zone=url),
            peers=(METRICS, HOOK_LISTENER),
        )
        for number, url in enumerate(settings.amqp.zones, 1)
    )

    # Its peers are all of them: whoever has a question through the API may have it for anybody.
    api = (ChildSpec(API, ApiServer, setup, peers=("*",)),) if settings.api.enabled else ()

    remote_supervisors = RemoteSupervisorsSpec(deliverers_on, setup, _spec(settings, ()))
    elsewhere = (
        (
            ChildSpec(
                id_of(ELSEWHERE),
                RemoteSupervisors,
                remote_supervisors,
                shutdown_s=REMOTE_SUPERVISORS_STOP_S,
            ),
        )
        if settings.actors.convention
        else ()
    )

    def nested(*children: ChildSpec) -> SupervisorSpec:
        return _spec(settings, children)

    return _spec(
        settings,
        (
            # First up and last down, as all others have something to tell it.
            ChildSpec(METRICS, Metrics, setup, peers=("*",)),
            ChildSpec(FAILURE_CACHE, FailureCache, setup, peers=(METRICS,), label="webhooks_cache"),
            ChildSpec(
                HOOK_TABLE,
                HookTable,
                setup,
                peers=(METRICS, ALL_RESPONDERS),
                label="kazoo_etsmgr_srv",
            ),
            ChildSpec(
                DISABLER,
                Disabler,
                setup,
                peers=(METRICS, FAILURE_CACHE, HOOK_LISTENER),
                label="webhooks_disabler",
            ),
            ChildSpec(
                HOOK_LISTENER,
                HookListener,
                setup,
                peers=(
                    METRICS,
                    HOOK_TABLE,
                    FAILURE_CACHE,
                    *DOCUMENT_READERS,
                    *subscribers_of(HOOK_DISABLED),
                ),
                label="webhooks_listener",
            ),
            *zone_listeners,
            ChildSpec(
                EVENT_BRIDGE,
                EventBridge,
                setup,
                peers=bridge_peers,
                label="webhooks_shared_listener",
            ),
            ChildSpec(
                MAINTENANCE,
                Maintenance,
                setup,
                peers=(METRICS, HOOK_TABLE, FAILURE_CACHE),
                label="webhooks_maintenance",
            ),
            ChildSpec(REDELIVERY, Redelivery, setup),
            ChildSpec(RESPONDERS, Supervisor, nested(*responders), shutdown_s=15.0),
            ChildSpec(
                DELIVERIES,
                Supervisor,
                nested(attempt_log, retry_queue, *deliverers, *elsewhere),
                shutdown_s=25.0,
            ),
            *api,
            ChildSpec(
                INITIALIZER,
                Initializer,
                setup,
                TEMPORARY,
                peers=(METRICS,),
                label="webhooks_init",
            ),
        ),
    )


def deliverer_specs(setup: Setup, workers: int) -> tuple[ChildSpec, ...]:
    """So many deliverers."""
    return tuple(
        ChildSpec(
            f"deliverer-{number}",
            Deliverer,
            setup,
            shutdown_s=12.0,
            peers=(
                METRICS,
                EVENT_BRIDGE,
                FAILURE_CACHE,
                HOOK_LISTENER,
                ATTEMPT_LOG,
                RETRY_QUEUE,
                *subscribers_of(DELIVERY_FAILED),
            ),
        )
        for number in range(1, workers + 1)
    )


def deliverers_on(setup: Setup, capabilities: Mapping[str, Any]) -> SupervisorSpec | None:
    """The deliverers of a machine that has joined; None where it does not fit."""
    worker = WorkerCapabilities.of(capabilities)
    if worker is None:
        return None
    told = without_secrets(setup.settings)
    settings = evolve(told, data=evolve(told.data, dir=worker.data_dir))
    return _spec(settings, deliverer_specs(evolve(setup, settings=settings), worker.workers))


def _spec(settings: Settings, children: tuple[ChildSpec, ...]) -> SupervisorSpec:
    return SupervisorSpec(
        children,
        max_restarts=settings.actors.max_restarts,
        heartbeat_s=settings.actors.heartbeat_ms / 1000,
        hang_s=settings.actors.hang_timeout_ms / 1000,
    )


@frozen
class Top:
    """What the top supervisor is started with.

    `owner_pid`: a process of this machine without which the whole actor system is to end.
    """

    settings: Settings
    owner_pid: int | None = None


class WebhooksSupervisor(SubscriptionRegistry):
    """one_for_one over the tree; started with `Top`.

    Asked to stop, it first lets the bridge settle what is under way, then stops in reverse order.
    """

    owns_actor_system = True
    """Whether the actor system is to end with the process that it runs for."""

    settings: Settings | None = None

    def __init__(self, capabilities: Mapping[str, Any] | None = None) -> None:
        super().__init__(capabilities)
        # Whoever attaches may find it before `Start`, or where there never is one.
        self._draining = False

    def specification(self, args: Top) -> SupervisorSpec:
        """The tree that these settings ask for."""
        self.settings = args.settings
        if self.own_process:
            configure_logs(args.settings.log)
        self.log = logger().bind(actor=self.path or type(self).__name__)
        if args.owner_pid is not None:
            self.watch(os.pidfd_open(args.owner_pid))
        return tree(args.settings)

    def receiveMsg_GetSettings(self, _message: GetSettings, sender: ActorAddress) -> None:
        """Somebody who attached wants to know how this system is set."""
        self.send(sender, self.settings or Refused("the system is starting: try again"))

    def receiveMsg_AdminRequest(self, message: AdminRequest, sender: ActorAddress) -> None:
        """An administrative request (callboard.admin), from whoever knows only the top."""
        path = REDELIVERY if isinstance(message, RedeliveryRequest) else MAINTENANCE
        peer = self._directory().get(path)
        if peer is None:
            self.send(sender, Refused(f"{path} is being restarted: try again", ref=message.ref))
        else:
            self.send(peer.address, Forwarded(sender, message))

    def receiveMsg_Ask(self, message: Ask, sender: ActorAddress) -> None:
        """Somebody has a message for an actor of the tree, which answers directly."""
        peer = self._directory().get(message.path)
        if peer is None:
            self.send(sender, Refused(f"{message.path} is down, or there is no such actor"))
        else:
            self.send(peer.address, Forwarded(sender, message.message))

    def receiveMsg_WatchMessage(self, _message: WatchMessage, _sender: Any) -> None:
        """The owner's process has ended: so does this, and the actor system if it is its own."""
        self.watch()
        self.log.warning("owner_ended")
        if self.owns_actor_system:
            self.closing.callback(self.actorSystemShutdown)  # nobody else would end it
        self.on_stop()

    def on_stop(self) -> None:
        """Drain, then stop; asked twice, stop at once."""
        if self.settings is None:
            self.finish()
            return
        bridge = self._directory().get(EVENT_BRIDGE)
        if self._draining or bridge is None:
            super().on_stop()
            return
        self._draining = True
        self.log.info("draining")
        self.send(bridge.address, Quiesce())
        self.after(DRAIN_S, super().on_stop)  # what is not settled by then goes back to the broker

    def receiveMsg_Quiesced(self, _message: Quiesced, _sender: ActorAddress) -> None:
        """Nothing is under way any more."""
        super().on_stop()
