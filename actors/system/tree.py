"""The top of Callboard's tree (Kazoo: webhooks_sup)."""

import os
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen
from thespian.actors import ActorAddress, WatchMessage

from callboard.actors.api.server import ApiServer
from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.notification_publisher import subscribers_of
from callboard.actors.base.role import Role, Setup
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
from callboard.config import time_limits as limits
from callboard.config.logs import configure_logs, logger
from callboard.config.redacted import without_secrets
from callboard.config.settings import Settings
from callboard.supervision import (
    TEMPORARY,
    ChildSpec,
    Forwarded,
    RemoteSupervisors,
    RemoteSupervisorsSpec,
    Supervisor,
    SupervisorSpec,
)


def tree(settings: Settings) -> SupervisorSpec:
    """The whole supervision tree, in starting order."""
    setup = Setup(settings)
    responders = tuple(
        ChildSpec(
            module.id,
            Responder,
            Setup(settings, module.id),
            peers=(
                METRICS,
                EVENT_BRIDGE,
                HOOK_LISTENER,
                HOOK_TABLE,
                ALL_DELIVERERS,
                RETRY_QUEUE,
            ),
        )
        for module in event_modules(settings).modules
    )
    workers = settings.delivery.workers or os.cpu_count() or 1
    deliverers = deliverer_specs(setup, workers)
    attempt_log = ChildSpec(
        id_of(ATTEMPT_LOG),
        AttemptLog,
        setup,
        peers=(METRICS, HOOK_LISTENER, ALL_DELIVERERS),
    )
    retry_queue = ChildSpec(
        id_of(RETRY_QUEUE),
        RetryQueue,
        setup,
        peers=(METRICS, HOOK_LISTENER, HOOK_TABLE, EVENT_BRIDGE, ALL_DELIVERERS),
    )
    bridge_peers = (METRICS, ALL_RESPONDERS, ALL_DELIVERERS, RETRY_QUEUE, API)

    zone_listeners = (
        ChildSpec(
            f"zone_listener-{number}",
            ZoneListener,
            Setup(settings, zone=url),
            peers=(METRICS, HOOK_LISTENER),
        )
        for number, url in enumerate(settings.amqp.zones, 1)
    )

    # All actors are its peers, since clients of the API may send requests to any of them.
    api = (ChildSpec(API, ApiServer, setup, peers=("*",)),) if settings.api.enabled else ()

    remote_supervisors = RemoteSupervisorsSpec(
        deliverers_on, setup, _spec(settings, ()), limits.REMOTE_SUPERVISOR_STOP_S
    )
    elsewhere = (
        (
            ChildSpec(
                id_of(ELSEWHERE),
                RemoteSupervisors,
                remote_supervisors,
                shutdown_s=limits.REMOTE_SUPERVISORS_STOP_S,
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
            # Started first and stopped last, as all other actors report to it.
            ChildSpec(METRICS, Metrics, setup, peers=("*",)),
            ChildSpec(FAILURE_CACHE, FailureCache, setup, peers=(METRICS,), label="webhooks_cache"),
            ChildSpec(
                HOOK_TABLE,
                HookTable,
                setup,
                peers=(METRICS, ALL_RESPONDERS, ALL_DELIVERERS, RETRY_QUEUE),
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
            ChildSpec(REDELIVERY, Redelivery, setup, peers=(METRICS,)),
            ChildSpec(
                RESPONDERS, Supervisor, nested(*responders), shutdown_s=limits.RESPONDERS_STOP_S
            ),
            ChildSpec(
                DELIVERIES,
                Supervisor,
                nested(attempt_log, retry_queue, *deliverers, *elsewhere),
                shutdown_s=limits.DELIVERIES_STOP_S,
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
    """The specifications of `workers` deliverers."""
    return tuple(
        ChildSpec(
            f"deliverer-{number}",
            Deliverer,
            setup,
            shutdown_s=limits.DELIVERER_STOP_S,
            peers=(
                METRICS,
                EVENT_BRIDGE,
                ALL_RESPONDERS,
                FAILURE_CACHE,
                HOOK_LISTENER,
                HOOK_TABLE,
                ATTEMPT_LOG,
                RETRY_QUEUE,
                *subscribers_of(DELIVERY_FAILED),
            ),
        )
        for number in range(1, workers + 1)
    )


def deliverers_on(setup: Setup, capabilities: Mapping[str, Any]) -> SupervisorSpec | None:
    """The deliverers of a machine that has joined; None if its version differs."""
    worker = WorkerCapabilities.of(capabilities)
    if worker is None:
        return None
    public = without_secrets(setup.settings)
    settings = evolve(public, data=evolve(public.data, dir=worker.data_dir))
    return _spec(settings, deliverer_specs(evolve(setup, settings=settings), worker.workers))


def _spec(settings: Settings, children: tuple[ChildSpec, ...]) -> SupervisorSpec:
    return SupervisorSpec(
        tuple(_limited(settings, child) for child in children),
        max_restarts=settings.actors.max_restarts,
        within_s=limits.RESTARTS_WITHIN_S,
        heartbeat_s=settings.actors.heartbeat_ms / 1000,
        hang_s=limits.hang_s(settings),
    )


def _limited(settings: Settings, child: ChildSpec) -> ChildSpec:
    """The child with the time limits of its kind."""
    if not issubclass(child.actor, Role):
        return child
    waits_s = limits.store_wait_s(settings) if child.actor.waits_for_store else 0.0
    label = child.label if settings.has_kazoo else ""
    return evolve(child, start_s=limits.START_S, waits_s=waits_s, label=label)


@frozen
class Top:
    """The arguments of the top supervisor.

    `owner_pid`: a process of this machine; the whole actor system ends with it.
    """

    settings: Settings
    owner_pid: int | None = None


class WebhooksSupervisor(SubscriptionRegistry):
    """one_for_one over the tree; started with `Top`.

    When asked to stop, it first lets the bridge settle its events, then stops in reverse order.
    """

    owns_actor_system = True
    """Whether the actor system ends with its owner's process."""

    settings: Settings | None = None

    def __init__(self, capabilities: Mapping[str, Any] | None = None) -> None:
        super().__init__(capabilities)
        # A client may reach it before `Start`, or if there never is one.
        self._draining = False

    def specification(self, args: Top) -> SupervisorSpec:
        """The tree for these settings."""
        self.settings = args.settings
        if self.own_process:
            configure_logs(args.settings.log)
        self.log = logger().bind(actor=self.path or type(self).__name__)
        if args.owner_pid is not None:
            self.watch(os.pidfd_open(args.owner_pid))
        return tree(args.settings)

    def receiveMsg_GetSettings(self, _message: GetSettings, sender: ActorAddress) -> None:
        """Send the settings to a client."""
        self.send(sender, self.settings or Refused("the system is starting: try again"))

    def receiveMsg_AdminRequest(self, message: AdminRequest, sender: ActorAddress) -> None:
        """Forward an administrative request (callboard.admin) to the actor that handles it."""
        path = REDELIVERY if isinstance(message, RedeliveryRequest) else MAINTENANCE
        peer = self._directory().get(path)
        if peer is None:
            self.send(sender, Refused(f"{path} is being restarted: try again", ref=message.ref))
        else:
            self.send(peer.address, Forwarded(sender, message))

    def receiveMsg_Ask(self, message: Ask, sender: ActorAddress) -> None:
        """Forward a message to an actor of the tree, which responds directly."""
        peer = self._directory().get(message.path)
        if peer is None:
            self.send(sender, Refused(f"{message.path} is down, or there is no such actor"))
        else:
            self.send(peer.address, Forwarded(sender, message.message))

    def receiveMsg_WatchMessage(self, _message: WatchMessage, _sender: Any) -> None:
        """The owner's process has ended: stop, and end the actor system if it owns that."""
        self.watch()
        self.log.warning("owner_ended")
        if self.owns_actor_system:
            self.closing.callback(self.actorSystemShutdown)  # no other process would end it
        self.on_stop()

    def on_stop(self) -> None:
        """Drain, then stop; if asked twice, stop at once."""
        bridge = self._directory().get(EVENT_BRIDGE)
        if self._draining or bridge is None:
            super().on_stop()
            return
        self._draining = True
        self.log.info("draining")
        self.send(bridge.address, Quiesce())
        self.after(limits.DRAIN_S, super().on_stop)  # unsettled events return to the broker

    def receiveMsg_Quiesced(self, _message: Quiesced, _sender: ActorAddress) -> None:
        """All events are settled: stop."""
        super().on_stop()
