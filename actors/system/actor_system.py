"""Starts an actor system, and attaches to a running one.

The owner holds the lock of the data directory while its system runs (data_lock.py); the file
callboard.lock names the process and the port to attach to. Every frame between actors is sealed
with the key in the data directory, so a client must be able to read the key.
"""

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from importlib import import_module
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from thespian.actors import (
    ActorAddress,
    ActorSystem,
    ActorSystemException,
    ActorSystemFailure,
    Thespian_StatusReq,
)
from thespian.system.multiprocTCPBase import ActorSystemBase

from callboard.actors.base import own_settings
from callboard.actors.system.data_lock import FILE, DataLock, Owner, read_owner
from callboard.actors.system.worker_capabilities import VERSION, WorkerCapabilities
from callboard.adapters.keys.key_file import KeyFileError, check_folder
from callboard.adapters.local import sealed_transport
from callboard.config.logs import log_definitions, stderr_handler
from callboard.config.settings import Settings
from callboard.supervision import Locate, Located, Peer, die_with_parent, thespian_patches

TOP = "callboard"
"""Thespian's global name of the top supervisor."""

MULTIPROCESS = "multiprocTCPBase"

_CONVENTION = "Convention Address.IPv4"

LEAST_REGISTRATION_S = 5.0
"""The shortest interval at which a machine registers with the node it has joined."""
REGISTRATIONS_MISSED = 6
"""A machine has left after this number of missed registrations. Thespian's default would take 22
minutes; mostly, missed heartbeats show it sooner."""

LEFTOVER_S = 10.0
"""The time-out for an actor system that is ending to release its port."""
ORPHAN_S = 3.0
"""The time in which a system stops by itself when its owner has ended, unless it has much to do."""
STATUS_S = 10.0
"""The time-out for a status response from an actor system's admin."""
PROBES_S = 5.0
"""How long a system that does not answer is probed again."""
PATIENCE_S = 0.5
"""The wait for a response before checking whether the actor, and the system, are still up."""


class SystemUnreachable(Exception):
    """An actor system cannot be started or reached; the text says why and what to do."""


class SystemLost(SystemUnreachable):
    """The actor system ended during the start or the attachment; its admin was killed."""


class RequestRefused(SystemUnreachable):
    """The system refuses the request; the text is its reason."""


_not_inherited: set[int] = set()
"""Descriptors of locks that forked processes must not hold."""


def _let_go_of_inherited() -> None:
    """Called in a forked child: redirects the descriptors to /dev/null. They stay open, so that a
    later close does not affect another file."""
    if _not_inherited:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in _not_inherited:
            os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)
        _not_inherited.clear()


os.register_at_fork(after_in_child=_let_go_of_inherited)


@contextmanager
def ownership(
    settings: Settings, *, embedded: bool = False, node: str = ""
) -> Iterator[Callable[[], None]]:
    """Hold the lock of the data directory. Raises SystemUnreachable if another process has it.

    Yields a function that the owner is to call each second (`DataLock.check`). `node`: the node
    that this machine joins.
    """
    with closing(_open_lock(settings)) as lock:
        _take(lock, settings)
        actors = settings.actors
        lock.name(
            Owner(
                os.getpid(),
                actors.base,
                actors.bind,
                actors.admin_port,
                time.time(),
                embedded,
                version("callboard"),
                node,
            )
        )
        if not embedded:
            yield lock.check
            return
        _not_inherited.update(lock.descriptors)
        try:
            yield lock.check
        finally:
            _not_inherited.difference_update(lock.descriptors)
            lock.release()  # A child just forked may still have it.


def _open_lock(settings: Settings) -> DataLock:
    """Open the data directory; creates it if missing."""
    try:
        settings.data.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_folder(settings.data.dir)
        return DataLock(settings.data.dir)
    except OSError as problem:
        file = settings.data.dir / problem.filename
        raise SystemUnreachable(
            f"{file} cannot be written: {problem.strerror}: run this as a user who may, or choose "
            "another data.dir"
        ) from None
    except KeyFileError as problem:
        raise SystemUnreachable(str(problem)) from None


def _take(lock: DataLock, settings: Settings) -> None:
    """Lock the directory. If a dead owner's processes still hold it, end them and wait."""
    end = time.monotonic() + LEFTOVER_S
    while not lock.take():
        holder = lock.holder()
        if _exists(holder.get("pid")) or time.monotonic() > end:
            raise SystemUnreachable(
                f"a system is running on {settings.data.dir} already (process "
                f"{holder.get('pid', 'unknown')}"
                f"{', embedded' if holder.get('embedded') else ''})"
                f": stop it, or choose another data.dir"
            )
        if settings.actors.base == MULTIPROCESS and not holder.get("embedded"):
            # Its top supervisor may not know its owner yet, and would wait forever.
            key = _key(settings, make=False)
            sealed_transport.seal(key, settings.actors.bind)
            _end_leftover(settings, key)
        time.sleep(0.1)


def _exists(pid: object) -> bool:
    """Whether the process exists; True if unknown."""
    return pid is None or Path(f"/proc/{pid}").exists() or not Path("/proc/self").exists()


def owner_of(settings: Settings) -> Owner | None:
    """The process that runs the system of this data directory; None if there is none."""
    file = settings.data.dir / FILE
    try:
        return read_owner(settings.data.dir)
    except (ValueError, TypeError, RecursionError) as problem:
        raise SystemUnreachable(
            f"{file} is damaged ({problem}): stop the process that holds it, and start Callboard "
            "again"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise SystemUnreachable(
            f"{file} may not be read: run this as the user who started the system"
        ) from None


def create(settings: Settings) -> ActorSystem:
    """Start an actor system, sealed and on the configured address.

    Raises SystemUnreachable; SystemLost if its admin ended while it started.
    """
    actors = settings.actors
    if actors.base != MULTIPROCESS:
        return ActorSystem(actors.base, logDefs=log_definitions(settings.log), transientUnique=True)
    _check_address(actors.bind)
    key = _key(settings, make=True)
    thespian_patches.log_to(settings.data.dir / "thespian.log")
    sealed_transport.seal(key, actors.bind)
    _end_leftover(settings, key)
    try:
        return _actor_system(settings)
    except ActorSystemException as problem:
        raise SystemLost(f"the actor system's admin does not respond: {problem}") from problem


def _end_leftover(settings: Settings, key: bytes) -> None:
    """End an actor system that outlived its owner, and ensure that the port is free.

    Its top supervisor stops it in order. A shutdown during that would take ten seconds.
    """
    actors = settings.actors
    began = time.monotonic()
    while (state := sealed_transport.probe(actors.bind, actors.admin_port, key)) != "absent":
        if state == "ours" and time.monotonic() - began > ORPHAN_S:
            # A system that is already ending refuses; wait for it.
            with suppress(ActorSystemException):
                _running_system(actors.admin_port).shutdown()
        if time.monotonic() - began > LEFTOVER_S:
            raise SystemUnreachable(
                f"port {actors.admin_port} of {actors.bind} is taken by another program, by an "
                f"actor system with another key, or by one that does not respond: set "
                f"actors.admin_port to a free one"
            )
        time.sleep(0.1)


def _check_address(address: str) -> None:
    """Check that a process can listen on the address. Raises SystemUnreachable."""
    ip = ip_address(address)
    if ip.version != 4 or ip.is_unspecified:
        raise SystemUnreachable(
            f"actors.bind must be the one IPv4 address to listen on, not {address}"
        )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        try:
            listener.bind((address, 0))
        except OSError as problem:
            if problem.errno != errno.EADDRNOTAVAIL:
                raise
            raise SystemUnreachable(f"actors.bind: this machine has no address {address}") from None


def join(settings: Settings, node: str, worker: WorkerCapabilities) -> ActorSystem:
    """Start an actor system that joins the convention of a node. Raises SystemUnreachable.

    `node`: `host:port` of its admin.
    """
    _check_address(settings.actors.bind)
    path = settings.actors_key_file
    if not settings.actors.key and not os.path.lexists(path):
        raise SystemUnreachable(
            f"the key file {path} is missing: copy the node's actors.key there, for this user "
            "alone (mode 0600), or set actors.key_file or actors.key"
        )
    key = _key(settings, make=False)
    thespian_patches.log_to(settings.data.dir / "thespian.log")
    sealed_transport.seal(key, settings.actors.bind)
    _end_leftover(settings, key)
    own_settings.keep(settings)
    try:
        return _actor_system(settings, {_CONVENTION: node, **worker.capabilities})
    except ActorSystemException as problem:
        raise SystemLost(f"the actor system's admin does not respond: {problem}") from problem


def _convention(settings: Settings) -> dict[str, Any]:
    """The capabilities of a node that other machines may join."""
    actors = settings.actors
    if not actors.convention:
        return {}
    return {_CONVENTION: f"{actors.bind}:{actors.admin_port}", VERSION: version("callboard")}


def _actor_system(settings: Settings, capabilities: Mapping[str, Any] | None = None) -> ActorSystem:
    # Clients do without these modules. The actors' processes are forked from the system's, and
    # share what is imported before.
    import_module("callboard.actors.system.tree")
    period_s = max(LEAST_REGISTRATION_S, settings.actors.heartbeat_ms / 1000)
    thespian_patches.register_every(period_s, REGISTRATIONS_MISSED)
    return ActorSystem(
        MULTIPROCESS,
        {
            "Admin Port": settings.actors.admin_port,
            **(_convention(settings) if capabilities is None else capabilities),
        },
        logDefs=_logger_definitions(settings),
        transientUnique=True,
    )


class _RunningSystem(ActorSystemBase):  # type: ignore[misc]
    """Attaches to an admin. Thespian's class would start one if there is none."""

    def _startAdmin(self, *_args: Any) -> None:
        raise ActorSystemFailure("no admin listens on its port")


def _running_system(admin_port: int) -> ActorSystem:
    """A client's view of the system with its admin on this port. Raises ActorSystemException."""
    capabilities = {"Admin Port": admin_port}
    base = _RunningSystem(SimpleNamespace(capabilities=capabilities), logDefs=False)
    return ActorSystem(base, capabilities, transientUnique=True)


def _running_top(system: ActorSystem) -> ActorAddress | None:
    """The top supervisor, if it exists. Looking it up by `createActor` would create one."""
    admin = system._systemBase.adminAddr
    status = system.ask(admin, Thespian_StatusReq(), timedelta(seconds=STATUS_S))
    return None if status is None or status.inShutdown else status.globalActors.get(TOP)


def _logger_definitions(settings: Settings) -> dict[str, Any]:
    """The log configuration of Thespian's logger process, which must end with the admin."""
    definitions = log_definitions(settings.log)
    definitions["handlers"]["stderr"]["()"] = "callboard.actors.system.actor_system.logger_handler"
    return definitions


def logger_handler(format: str) -> logging.Handler:
    """The handler of Thespian's logger process, which calls this when it starts."""
    die_with_parent()
    return stderr_handler(format)


def _key(settings: Settings, *, make: bool) -> bytes:
    actors = settings.actors
    if actors.key:
        key = actors.key.encode()
        if len(key) < sealed_transport.KEY_BYTES:
            raise SystemUnreachable(
                f"actors.key has {len(key)} bytes, at least {sealed_transport.KEY_BYTES} are needed"
            )
        return key
    path = settings.actors_key_file
    try:
        if make:
            return sealed_transport.load_or_make_key(path)
        return sealed_transport.read_key(path)
    except KeyFileError as problem:
        raise SystemUnreachable(str(problem)) from None


class Client:
    """A client of an actor system, outside of it. `owner_pid`: None if it is this process."""

    def __init__(
        self, system: ActorSystem, top: ActorAddress, owner_pid: int | None = None
    ) -> None:
        self.system, self.top, self._owner_pid = system, top, owner_pid

    def ask(self, address: ActorAddress, request: Any, kind: type, timeout_s: float = 10.0) -> Any:
        """Send a request; returns the response of that kind.

        Raises SystemUnreachable if there is none within the time-out; SystemLost as soon as the
        process that runs the system has ended; RequestRefused.
        """
        self.system.tell(address, request)
        return self.hear((kind,), timeout_s)

    def hear(self, kinds: tuple[type, ...], timeout_s: float) -> Any:
        """The next message of one of these kinds; ignores others. Raises as `ask` does."""
        message = self._listen(kinds, timeout_s)
        if message is None:
            raise _no_answer(kinds, timeout_s)
        return message

    def _listen(self, kinds: tuple[type, ...], timeout_s: float) -> Any:
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            message = self.system.listen(timedelta(seconds=min(left, PATIENCE_S)))
            if isinstance(message, kinds):
                return message
            if message is not None:
                _raise_if_refused(message)
            elif not _exists(self._owner_pid):
                raise SystemLost(
                    f"process {self._owner_pid}, which ran the system, has ended: start it again "
                    "with `callboard start`, and look there how far this got"
                )
        return None

    def ask_actor(self, path: str, request: Any, kind: type, timeout_s: float = 10.0) -> Any:
        """The same for the actor at that path of the tree.

        Waits while it is being restarted. If it dies before it has responded, the request is sent
        to its successor, and so may be carried out twice.
        """
        end = time.monotonic() + timeout_s
        asked: Peer | None = None
        while (left := end - time.monotonic()) > 0:
            self.system.tell(self.top, Locate(path))
            response = self._listen((Located, kind), left)
            if isinstance(response, Located):
                peer = response.peer
                if peer is not None and (asked is None or asked.incarnation != peer.incarnation):
                    self.system.tell(peer.address, request)
                    asked = peer
                response = self._listen((kind,), min(PATIENCE_S, left))
            if response is not None:
                return response
        if asked is None:
            raise SystemUnreachable(
                f"{path} is down and did not come back within {timeout_s:g} s: `callboard tree` "
                "shows what runs, its log says why"
            )
        raise _no_answer((kind,), timeout_s)


def create_top(system: ActorSystem) -> Client:
    """Create the top supervisor of a new actor system. Raises SystemLost."""
    from callboard.actors.system.tree import WebhooksSupervisor

    return Client(system, created(system, WebhooksSupervisor, globalName=TOP))


def created(system: ActorSystem, actor: type, **options: Any) -> ActorAddress:
    """Create the first actor of a new actor system. Raises SystemLost."""
    try:
        return system.createActor(actor, **options)
    except ActorSystemException as problem:
        with suppress(ActorSystemException):
            system.shutdown()  # its admin may be alive
        raise SystemLost(f"the actor system has just ended: {problem}") from None


def _raise_if_refused(message: Any) -> None:
    # Imported for no other message: it takes a third as long as most commands.
    from callboard.admin import Refused

    if isinstance(message, Refused):
        raise RequestRefused(message.reason)


def _no_answer(kinds: tuple[type, ...], timeout_s: float) -> SystemUnreachable:
    names = " or ".join(kind.__name__ for kind in kinds)
    return SystemUnreachable(
        f"no response ({names}) within {timeout_s:g} s: is the system overloaded? "
        "`callboard status` shows it"
    )


def _probed(bind: str, port: int, key: bytes, probes_s: float) -> sealed_transport.Verdict:
    """The kind of process on that port, which has `probes_s` to show itself."""
    end = time.monotonic() + probes_s
    while (state := sealed_transport.probe(bind, port, key)) == "silent":
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return state


def attach(settings: Settings, probes_s: float = PROBES_S) -> Client:
    """Attach to the running system of this data directory. Raises SystemUnreachable.

    `probes_s`: see PROBES_S.
    """
    owner = owner_of(settings)
    if owner is None:
        raise SystemUnreachable(
            f"no system is running on {settings.data.dir}: start one with `callboard start`"
        )
    if owner.embedded:
        raise SystemUnreachable(
            f"the system on {settings.data.dir} runs embedded in a host's actor system (process "
            f"{owner.pid}) and cannot be attached to: use what the host offers"
        )
    if owner.node:
        raise SystemUnreachable(
            f"{settings.data.dir} belongs to a machine that has joined the node at {owner.node}: "
            f"look there; stop it by SIGTERM to process {owner.pid}"
        )
    if owner.base != MULTIPROCESS:
        raise SystemUnreachable(
            f"process {owner.pid} runs on {owner.base}, which lives in that process alone: "
            f"attaching takes actors.base = {MULTIPROCESS!r}"
        )
    key = _key(settings, make=False)
    state = _probed(owner.bind, owner.admin_port, key, probes_s)
    if state == "silent":
        raise SystemUnreachable(
            f"the system on port {owner.admin_port} does not respond: it is busy, hangs, or other "
            f"programs keep too many connections to its port; try again"
        )
    if state == "stranger":
        raise SystemUnreachable(
            f"the system on port {owner.admin_port} does not accept this key: run this as the user "
            f"who started it, or give its key by actors.key or actors.key_file"
        )
    if state == "absent":
        raise SystemUnreachable(
            f"process {owner.pid} owns {settings.data.dir}, but nothing answers on port "
            f"{owner.admin_port}: it is starting or ending; try again"
        )
    thespian_patches.log_to(settings.data.dir / "thespian.log")
    sealed_transport.seal(key, owner.bind)
    try:
        system = _running_system(owner.admin_port)
        top = _running_top(system)
    except ActorSystemException as problem:
        raise SystemLost(f"the actor system has just ended: {problem}") from None
    if top is None:
        raise SystemLost(
            f"the actor system of process {owner.pid} is starting or ending: try again"
        )
    return Client(system, top, owner.pid)
