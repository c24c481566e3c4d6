"""The patches of Thespian, and the list of all its internals that this project uses.

They are made for version `MADE_FOR`; tests/supervision/test_thespian_patches.py fails for any other
version, and if the source of a name in `INTERNALS` has changed.

`apply` makes five patches:

**Children that ended.** When Thespian is notified that one child has ended, it forgets the
processes of all children that have ended by then. If the notification of another one was lost,
because that child was killed, or because a busy parent did not accept it within seven seconds, its
end is never reported. A parent that is about to end then waits forever, and so do all actors above
it, up to the admin, which keeps its port.

**A logger that ended.** The admin starts another, with an attribute whose name is misspelled: the
AttributeError ended the admin. If the logger ends before it has connected, the admin does not
handle the notification of its end, as it keeps all messages until then. In both cases no client
could stop the actors any more, and the port stayed taken.

**Stack depth.** An actor is forked from within a handler of its parent, some thirty frames deeper
than the parent; its loop now runs in its own chunk of the stack (roomy_stack.py).

**Unnecessary costs of messages** (lean_messages.py).

**A child that cannot be created**, or fails before it is an actor, leaves its supervisor the reason
(last_words.py), which Thespian keeps to itself.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing.process import BaseProcess
from operator import attrgetter
from pathlib import Path
from typing import Any

from thespian.actors import ActorAddress
from thespian.system import multiprocCommon, utilis
from thespian.system.actorManager import ActorManager
from thespian.system.admin import convention
from thespian.system.messages.multiproc import ChildMayHaveDied
from thespian.system.multiprocCommon import MultiProcAdmin, MultiProcReplicator

from callboard.supervision.last_words import spoken
from callboard.supervision.lean_messages import lean
from callboard.supervision.roomy_stack import roomy

MADE_FOR = "4.0.1"

INTERNALS = {
    # Replaced by `apply`.
    "system.actorManager:ActorManager.run": "61eca98d7462681d",
    "system.multiprocCommon:MultiProcReplicator._childExited": "1f97052182247a5d",
    "system.multiprocCommon:MultiProcReplicator._startChildActor": "82ed67923c810e7f",
    "system.multiprocCommon:startChild": "bac45f1e958069b2",
    # Replaced by `lean`, and internals that it relies on.
    "system.actorManager:ActorManager.handleMessages": "75271d025659607a",
    "system.actorManager:ActorManager._handleOneMessage": "c030a5514cf57d7c",
    "system.multiprocCommon:MultiProcReplicator._handleReplicatorMessages": "53e7bdc253229df2",
    "system.transport.wakeupTransportBase:wakeupTransportBase._run_subtransport": "96e000edfba8449f",  # noqa: E501
    "system.transport:ReceiveEnvelope": "1630e86d55074f22",
    "system.transport:TransmitIntent": "1cffb12f81138b77",
    # `_forget`, `logDefs` and `child_processes` rely on these.
    "system.admin.adminCore:AdminCore.__init__": "1d7c109bfc6f0ec0",
    "system.multiprocCommon:_startLogger": "f8db5651c1fc034c",
    "system.multiprocCommon:MultiProcReplicator.h_LoggerConnected": "adb0d7e68197d789",
    "system.multiprocCommon:MultiProcReplicator._checkChildLiveness": "f4dc4c3437d077c0",
    "system.multiprocCommon:MultiProcReplicator.childDied": "6d22bfa68f41b117",
    "system.multiprocCommon:MultiProcReplicator.h_EndpointConnected": "bfb679e943e55259",
    "system.multiprocCommon:ChildInfo": "ce0b25054343e877",
    "system.systemCommon:systemCommonBase._handleChildExited": "43475629c71eb619",
    "actors:Actor.createActor": "c4490a801db068c3",
    # A wakeup's payload is not copied (actor.py).
    "system.actorManager:ActorManager.wakeupAfter": "6dfdc6bf036531e5",
    "system.transport.wakeupTransportBase:wakeupTransportBase.addWakeup": "55096902c23d2755",
    "system.transport.wakeupTransportBase:wakeupTransportBase._realizeWakeups": "da64fc17df1fd06c",
    "system.transport.wakeupTransportBase:wakeupTransportBase._deliver_wakeups": "1ffb200fcfa8fdf1",
    "system.simpleSystemBase:ActorRef.wakeupAfter": "887c1c5cd04ffb3e",
    "system.simpleSystemBase:WakeupManager": "a952ca1b3d914598",
    "system.simpleSystemBase:ActorSystemBase._realizeWakeups": "289ff908abbe798b",
    "actors:WakeupMessage": "a56a4e5ab4260682",
    # Set by `log_to` and `register_every`; the log is also written to (stream.py).
    "system.utilis:_thesplog_file": "6039ea6549a89b35",
    "system.utilis:_thesplog_old_file": "c47fc1de08aa656e",
    "system.utilis:thesplog": "2a930d461a0ca887",
    "system.admin.convention:CONVENTION_REREGISTRATION_PERIOD": "11a801a72ad887b0",
    "system.admin.convention:CONVENTION_RESTART_PERIOD": "bbb84beb160ac6c4",
    "system.admin.convention:CONVENTION_REGISTRATION_MISS_MAX": "3abb099918e4d58c",
    # Replaced by `seal` (adapters/local/sealed_transport.py).
    "system.multiprocTCPBase:ActorSystemBase.transportType": "d83cf49e6ba89f51",
    "system.systemCommon:RATE_THROTTLE": "1ba5893d36af62a0",
    "system.transport.IPBase:IPActorAddress.bindArgs": "d70c386f0261970c",
    # Overridden by the transport with streams (adapters/local/stream_transport.py).
    "system.transport.TCPTransport:TCPTransport.__init__": "80eaa45b1d8d11ef",
    "system.transport.TCPTransport:TCPTransport.external_transport_clone": "627fd40714584bda",
    "system.transport.TCPTransport:TCPTransport.childResetFileNumList": "cdd865480298bc63",
    "system.transport.TCPTransport:TCPTransport.close": "a94f8efa21a99921",
    "system.transport.TCPTransport:TCPTransport.serializer": "0911125a23095dad",
    "system.transport.TCPTransport:TCPTransport.deadAddress": "3c1d339552ba65e4",
    "system.transport.TCPTransport:TCPTransport.interrupt_wait": "d4f683cb6be6042b",
    "system.transport.TCPTransport:TCPTransport.set_watch": "4825d61fdcca4ba6",
    "system.transport.wakeupTransportBase:wakeupTransportBase.run": "936d9cf10da02ac4",
    "system.transport.asyncTransportBase:asyncTransportBase._schedulePreparedIntent": "eab0d0591358fe9b",  # noqa: E501
    # It relies on these. (`lostRemote` finds nothing to close: streams end by themselves.)
    "system.transport.TCPTransport:TCPTransport.lostRemote": "c6e4e6d171161159",
    "system.transport.TCPTransport:TCPTransport._runWithExpiry": "9e42260155a25607",
    "system.transport.TCPTransport:TCPTransport._forwardIfNeeded": "dc484d5beb779988",
    "system.transport.TCPTransport:TCPTransport._processReceivedEnvelope": "2b2a358322ebc61e",
    "system.transport.TCPTransport:TCPTransport.abort_run": "0963ac912170fe01",
    "system.transport.TCPTransport:ExternalTransportCopy": "c59ee3af9bad232a",
    "system.transport.TCPTransport:RoutedTCPv4ActorAddress": "07ed528a66849f07",
    "system.transport.asyncTransportBase:asyncTransportBase.scheduleTransmit": "e1cc869ee867ac1a",
    "system.transport:ResultCallback": "f8286d707e09c368",
    "system.timing:currentTime": "076cfdc20c776bb2",
    "system.transport.IPBase:ThisSystem.add_local_addr": "1fd3a93e06741826",
    "system.transport.IPBase:thisSystem": "ee90806d951d905c",
    # Overridden and used by clients (actors/system/actor_system.py).
    "system.multiprocCommon:multiprocessCommon._startAdmin": "233927bdf68a4090",
    "system.systemBase:systemBase.__init__": "79ad64f94a11a56e",
    "system.messages.status:Thespian_SystemStatus": "485ae5ea5b78db45",
    "system.timing:ExpirationTimer": "5ad2d579d9f939e1",
}
"""`module:name` below `thespian`, and the first 16 hex digits of the SHA-256 of the source of its
definition. For a name that is imported there, the definition in its own module counts."""

_run = ActorManager.run
_start_child_actor = MultiProcReplicator._startChildActor
_start_child = multiprocCommon.startChild


def apply() -> None:
    """Patch Thespian in this process and in those forked from it."""
    MultiProcReplicator._childExited = _forget
    MultiProcReplicator._startChildActor = spoken()(_start_child_actor)
    multiprocCommon.startChild = spoken()(_start_child)
    MultiProcAdmin.logDefs = property(attrgetter("logdefs"))
    MultiProcAdmin._handleReplicatorMessages = _handle_replicator_messages
    ActorManager.run = _run_roomy
    lean()


def _forget(self: Any, child: Any) -> None:
    """Forget only the process of this child; after SIGCHLD, `childDied` reports the others."""
    self._child_procs = [
        each
        for each in getattr(self, "_child_procs", [])
        if getattr(each, "childRealAddr", each.childAddr) != child or self._checkChildLiveness(each)
    ]


def _handle_replicator_messages(self: Any, envelope: Any) -> tuple[bool, bool]:
    if isinstance(envelope.message, ChildMayHaveDied):
        return True, self.childDied()
    handled: tuple[bool, bool] = MultiProcReplicator._handleReplicatorMessages(self, envelope)
    return handled


def _run_roomy(self: Any) -> None:
    roomy(_run, self)


def child_processes(actor: Any) -> Iterator[tuple[ActorAddress, BaseProcess]]:
    """The children of an actor with their processes, which no public API shows."""
    for info in getattr(actor._myRef, "_child_procs", ()):
        yield info.childAddr, info.childProc


def log_to(path: Path) -> None:
    """Set the path of Thespian's debug log, which by default all users share.

    Call it before `ActorSystem(…)`; creates the folder (mode 0700) if missing.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["THESPLOG_FILE"] = str(path)
    utilis._thesplog_file = str(path)
    utilis._thesplog_old_file = f"{path}.old"


def register_every(period_s: float, missed: int) -> None:
    """Set the interval of registrations with a joined node, and the limit of missed ones."""
    # Thespian sleeps for the second before it checks whether the first is over, so set both.
    convention.CONVENTION_REREGISTRATION_PERIOD = timedelta(seconds=period_s)
    convention.CONVENTION_RESTART_PERIOD = timedelta(seconds=period_s)
    convention.CONVENTION_REGISTRATION_MISS_MAX = missed
