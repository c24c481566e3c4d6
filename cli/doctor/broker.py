"""Checks of the broker: availability and permissions."""

from collections.abc import Iterator

from callboard.actors.events.bridge import event_queue
from callboard.actors.hooks.change_exchange import change_exchange
from callboard.actors.system.topologies import exchanges, queues
from callboard.adapters.broker.protocol import Exchange, Queue
from callboard.adapters.broker.queues import is_deprecated
from callboard.adapters.broker.rabbitmq.probe import BrokerAbout, ProbeFailed, Stage, look
from callboard.adapters.broker.urls import each_url, mask_url
from callboard.cli.doctor.finding import Finding, ok, problem, warning
from callboard.config.server_urls import broker_url
from callboard.config.settings import Settings

TIMEOUT_S = 5.0

PERMISSIONS = "rabbitmqctl set_permissions -p VHOST USER '.*' '.*' '.*'"
NOT_REPLICATED = (
    "amqp.url names several brokers, but each classic queue is on one of them: while that one is "
    "away, its events wait and Callboard takes none",
    "set amqp.queue_type to quorum (docs/nodes.md)",
)
BLOCKED = "rabbitmq-diagnostics alarms; give it memory or disk space, or empty its queues"
MEND: dict[Stage, str] = {
    "url": "write amqp.url as amqp://user:password@host:port/vhost, with special characters as %XX",
    "address": "check that RabbitMQ runs and that this machine can reach its port",
    "tls": "correct amqp.ca_bundle, client_certificate or tls_server_name, or the port "
    "(docs/security.md)",
    "credentials": "correct user and password in amqp.url; user guest works only from localhost",
    "vhost": f"rabbitmqctl add_vhost VHOST; {PERMISSIONS}",
    "permissions": PERMISSIONS,
    "protocol": "see RabbitMQ's log",
}


def broker(settings: Settings) -> Iterator[Finding]:
    """Checks every configured broker: that of the events, and those of other zones."""
    url, queue = broker_url(settings), event_queue(settings).name
    if url.startswith("memory:"):
        yield ok("broker", "the embedded broker, which no other program can reach")
    else:
        yield from _cluster("broker", url, queue, exchanges(settings), queues(settings))
        if len(each_url(url)) > 1 and settings.amqp.queue_type != "quorum":
            yield warning("queue", *NOT_REPLICATED)
    for zone in settings.amqp.zones:
        zone_url, changes = broker_url(settings, zone), (change_exchange(settings),)
        yield from _cluster("broker of a zone", zone_url, queue, changes)


def _cluster(
    name: str,
    url: str,
    queue: str,
    exchanges: tuple[Exchange, ...],
    queues: tuple[Queue, ...] = (),
) -> Iterator[Finding]:
    """Each broker of a cluster; one that is away is no problem while another can be used.

    Exchanges and queues are tried at the first that can be used.
    """
    away: list[Finding] = []
    usable = False
    for each in each_url(url):
        look_at = (exchanges, queues) if not usable else ((), ())
        found = [*_at(name, each, queue, *look_at)]
        if found[0].result == "ok":
            usable = True
            yield from found
        else:
            away += found
    for finding in away:
        yield warning(finding.name, finding.what, finding.mend) if usable else finding


def _at(
    name: str,
    url: str,
    queue: str,
    exchanges: tuple[Exchange, ...],
    queues: tuple[Queue, ...],
) -> Iterator[Finding]:
    try:
        about = look(url, queue, exchanges, TIMEOUT_S, queues)
    except ProbeFailed as failed:
        yield problem(name, f"{mask_url(url)}: {failed.stage}: {failed}", MEND[failed.stage])
        return
    yield ok(name, _described(url, queue, about))
    if about.blocked:
        what = "takes no messages: an alarm is on, and retries and posted events wait"
        yield problem(name, f"{mask_url(url)} {what}", BLOCKED)
    for exchange, reason in about.unlike:
        yield problem(
            "exchange",
            f"{exchange} cannot be had, so that its modules get no events: {reason}",
            "set exchange_type, exchange_durable and the like of the module's table as the "
            "exchange exists, or declare = false; an exchange that does not exist needs the "
            "permission to configure it",
        )
    for other, reason in about.unlike_queues:
        yield problem(
            "queue",
            f"{other} cannot be declared: {reason}",
            "set amqp.queue_type to its type, or amqp.queue to another name (docs/nodes.md)",
        )
    yield from map(refused, about.refused)
    if about.waiting and not about.consumers:
        what = f"{about.waiting} events wait in {queue}, and no consumer takes them"
        yield warning("events", what, "callboard start")


def refused(found: tuple[Queue, str]) -> Finding:
    """A queue that does not exist yet, and that the broker would not let be declared."""
    queue, reason = found
    what = f"{queue.name or 'the queue of a connection'} would be refused ({reason})"
    if is_deprecated(queue):
        permit = "deprecated_features.permit.transient_nonexcl_queues = true in rabbitmq.conf"
        mend = f"{permit} while you need amqp.join_kazoo, whose queue is Kazoo's (docs/kazoo.md)"
        why = "it is neither durable nor exclusive, which RabbitMQ 4 permits only if it is told to"
        return problem("queue", f"{what}: {why}", mend)
    return problem("queue", what, "see RabbitMQ's policies and limits for this virtual host")


def _described(url: str, queue: str, about: BrokerAbout) -> str:
    waiting = "will be made" if about.waiting is None else f"has {about.waiting} waiting"
    return f"{about.product} {about.version} at {mask_url(url)}; queue {queue} {waiting}"
