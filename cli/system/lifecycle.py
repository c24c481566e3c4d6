"""`callboard start` and `join`: the commands that run until they are stopped."""

import errno
import os
import re
import resource
import socket
from ipaddress import AddressValueError, IPv4Address, ip_address

import click

from callboard.actors.base import tracing
from callboard.actors.delivery import transports
from callboard.actors.system import member, owner
from callboard.actors.system.actor_system import Client, SystemUnreachable
from callboard.actors.system.data_lock import DataDirectoryLost
from callboard.actors.system.worker_capabilities import WorkerCapabilities
from callboard.adapters.broker.urls import places
from callboard.adapters.local.systemd import tell_ready
from callboard.cli.terminal.options import with_settings
from callboard.cli.terminal.output import (
    Failure,
    WrongUsage,
    counted,
    say,
)
from callboard.config.loader import Loaded
from callboard.config.logs import logger
from callboard.config.rules import mask


@click.command()
@with_settings(shown=True)
def start(loaded: Loaded) -> None:
    """Run the system in the foreground.

    On SIGTERM, SIGINT or SIGHUP it settles events in progress and stops in order; a second signal
    stops it immediately.
    """
    settings = loaded.settings
    try:
        transports.check(settings.delivery)
        tracing.check(settings.tracing)
    except (OSError, transports.TransportUnavailable, tracing.TracingUnavailable) as problem:
        raise WrongUsage(str(problem)) from None

    if settings.actors.convention and ip_address(settings.actors.bind).is_loopback:
        logger().warning(
            "convention_on_loopback",
            bind=settings.actors.bind,
            todo="set actors.bind to an address that other machines can reach",
        )

    def ready(_client: Client, seconds: float) -> None:
        say(
            f"callboard is ready after {seconds:.1f} s: broker {places(settings.amqp.url)}, "
            f"store {settings.couchdb.url.split('@')[-1]}, data {settings.data.dir}"
        )
        if settings.api.enabled is not False and settings.api.port:
            say(
                f"dashboard and API: http://{settings.api.bind}:{settings.api.port}/, "
                f"token in {settings.api_token_file}"
            )
        _tell_service_manager()

    try:
        owner.run(settings, ready)
    except DataDirectoryLost as problem:
        raise _stopped(problem) from None
    except (owner.GivenUp, SystemUnreachable) as problem:
        raise Failure(_with_remedy(mask(str(problem)))) from None


def _stopped(problem: DataDirectoryLost) -> WrongUsage:
    """The failure of a command that stopped itself. A service manager must not start it again:
    it would begin with an empty directory."""
    return WrongUsage(
        f"{problem}: remove what is in its place now, put it back or set data.dir, and start "
        "Callboard again"
    )


def _with_remedy(reason: str) -> str:
    if os.strerror(errno.EMFILE) not in reason:
        return reason
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return f"{reason}: raise the limit of open files, now {limit} (ulimit -n, LimitNOFILE)"


def _tell_service_manager() -> None:
    """Notifies the service manager; a failure to do so does not end the service."""
    try:
        tell_ready(os.environ)
    except OSError as problem:
        logger().warning("service_manager_not_told", reason=str(problem))


@click.command()
@click.argument("node", metavar="HOST:PORT")
@click.option("--name", help="Name of this machine; by default its host name.")
@with_settings()
def join(loaded: Loaded, node: str, name: str | None) -> None:
    """Run deliverers for a node on another machine, in the foreground.

    HOST:PORT are actors.bind and actors.admin_port of the node, which must set actors.convention.
    This machine needs the same key (actors.key, or its file), an actors.bind that the node can
    reach, and a data directory. It offers delivery.workers deliverers.
    """
    settings = loaded.settings
    _check_way(node, settings.actors.bind)
    name = name or socket.gethostname()
    if not re.fullmatch(r"[^/\s*?\[]+", name):
        raise WrongUsage("--name must not contain spaces or / * ? [")
    workers = settings.delivery.workers or os.cpu_count() or 1
    place = f"{settings.actors.bind}:{settings.actors.admin_port}"
    worker = WorkerCapabilities(name, workers, settings.data.dir.absolute(), place)

    def ready() -> None:
        say(f"{name}: waiting for the node at {node} to start {counted(workers, 'deliverer')} here")
        _tell_service_manager()

    try:
        member.run(settings, node, worker, ready)
    except DataDirectoryLost as problem:
        raise _stopped(problem) from None
    except SystemUnreachable as problem:
        raise Failure(_with_remedy(mask(str(problem)))) from None


def _check_way(node: str, bind: str) -> None:
    """Reject an invalid node, and a node that could not reach this machine."""
    host, _, port = node.rpartition(":")
    try:
        address = IPv4Address(host)
    except AddressValueError:
        raise WrongUsage(f"HOST:PORT must begin with an IPv4 address, not {host!r}") from None
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise WrongUsage(f"HOST:PORT must end with a port from 1 to 65535, not {port!r}")
    if address.is_unspecified:
        raise WrongUsage(f"HOST:PORT must be the node's actors.bind, not {host}")
    if ip_address(bind).is_loopback and not address.is_loopback:
        raise WrongUsage(
            f"the node at {node} cannot reach this machine at {bind}: set actors.bind to an "
            "address that the node can reach (--actors-bind)"
        )
