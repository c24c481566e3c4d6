"""Supervision across actor systems: a supervisor on each machine that has joined (conventions).

Only the messages between `RemoteSupervisors` and each `RemoteSupervisor` leave the machine. This
link lacks three features of a local one: Thespian does not report that an actor has died with its
machine, a process of another machine cannot be killed by its id, and the kernel does not end the
processes whose supervisor has died. So both sides exchange heartbeats, and each acts on its own
when it receives none.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen
from thespian.actors import ActorAddress, ActorExitRequest, ActorSystemConventionUpdate

from callboard.supervision.actor import CRASH_EXIT_STATUS
from callboard.supervision.messages import Heard, Heartbeat
from callboard.supervision.spec import TEMPORARY, ChildSpec, SupervisorSpec
from callboard.supervision.supervisor import BURIAL_S, ENDED, RUNNING, STARTING, Supervisor, _Child

AGAIN_S = 5.0
"""The interval for restarting remote supervisors that ended."""

MEMBER = "callboard: member"
"""The capability that names a machine; of several with the same name, only one is used."""

PLACE = "callboard: place"
"""The capability that distinguishes machines with the same name."""

Capabilities = Mapping[str, Any]


@frozen
class RemoteSupervisorsSpec:
    """`children_of(args, capabilities)` returns the children to run on a machine; None: none.

    It is called in the actor, so it must pickle: a function of a module. `stop_s`: the time-out for
    a remote supervisor to stop; that of `RemoteSupervisors` must exceed it by more than `BURIAL_S`.
    """

    children_of: Callable[[Any, Capabilities], SupervisorSpec | None]
    args: Any
    supervisor: SupervisorSpec
    stop_s: float = 15.0


class RemoteSupervisor(Supervisor):
    """A supervisor in another actor system than its own supervisor.

    It ends with all actors below it when it has received nothing from its supervisor for `hang_s`:
    by then, that side considers it dead, and other actors repeat its work.
    """

    @staticmethod
    def actorSystemCapabilityCheck(capabilities: Capabilities, requirements: Capabilities) -> bool:
        """Whether this machine has the required capabilities."""
        return all(capabilities.get(key) == value for key, value in requirements.items())

    def on_start(self, args: Any) -> None:
        """Start to monitor the supervisor."""
        self._missed = 0
        super().on_start(args)
        self.every(self.spec.heartbeat_s, self._count_silence)

    def receiveMsg_Heard(self, _message: Heard, _sender: ActorAddress) -> None:
        """The supervisor is alive and has received a heartbeat."""
        self._missed = 0

    def _count_silence(self) -> None:
        """Count the periods without a message; a suspension of this process counts as one."""
        self._missed += 1
        if self._missed * self.spec.heartbeat_s > self.spec.hang_s:
            self.log.error("supervisor_lost", unheard=self._missed)
            os._exit(CRASH_EXIT_STATUS)


def remote_supervisor(name: str, inside: SupervisorSpec, stop_s: float) -> ChildSpec:
    """The specification of the remote supervisor on that machine; `inside`: of its children."""
    return ChildSpec(name, RemoteSupervisor, inside, restart=TEMPORARY, shutdown_s=stop_s)


class RemoteSupervisors(Supervisor):
    """Supervises a `RemoteSupervisor` on each suitable machine that has joined.

    Started with a `RemoteSupervisorsSpec`. While its machine is a member, a remote supervisor that
    ends is restarted without a limit: its end does not indicate a problem on this side.
    """

    def specification(self, args: RemoteSupervisorsSpec) -> SupervisorSpec:
        """The specification before machines join, without children."""
        self._remote_specification = args
        self._members: dict[str, ActorSystemConventionUpdate] = {}
        self._namesakes: dict[str, ActorSystemConventionUpdate] = {}
        self._requirements: dict[str, Capabilities] = {}
        return args.supervisor

    def on_start(self, args: RemoteSupervisorsSpec) -> None:
        """Subscribe to machines that join and leave."""
        super().on_start(args)
        self.notifyOnSystemRegistrationChanges(True)
        self.every(AGAIN_S, self._restart_ended)

    def receiveMsg_ActorSystemConventionUpdate(
        self, update: ActorSystemConventionUpdate, _sender: ActorAddress
    ) -> None:
        """A machine has joined, left, or missed its registrations."""
        name = (update.remoteCapabilities or {}).get(MEMBER)
        if not isinstance(name, str):
            return
        if not update.remoteAdded:
            self._gone(name, update)
        elif self._is_taken(name, update):
            self.log.error(
                "machine_name_taken",
                machine=name,
                by=str(self._members[name].remoteAdminAddress),
                refused=str(update.remoteAdminAddress),
            )
            self._namesakes[name] = update
        else:
            self._joined(name, update)

    def _is_taken(self, name: str, update: ActorSystemConventionUpdate) -> bool:
        """Whether another machine of that name is a member, and its supervisor has not ended."""
        return self._is_another(name, update) and self._children[name].status != ENDED

    def _is_another(self, name: str, update: ActorSystemConventionUpdate) -> bool:
        member = self._members.get(name)
        return member is not None and member.remoteAdminAddress != update.remoteAdminAddress

    def _joined(self, name: str, update: ActorSystemConventionUpdate) -> None:
        if self._is_another(name, update):
            self._namesakes[name] = self._members[name]
        self._left(name)  # the same machine may have been restarted
        capabilities = update.remoteCapabilities
        inside = self._remote_specification.children_of(
            self._remote_specification.args, capabilities
        )
        if inside is None:
            return
        child = remote_supervisor(name, inside, self._remote_specification.stop_s)
        others = tuple(other for other in self.spec.children if other.id != name)
        self.spec = evolve(self.spec, children=(*others, child))
        known = self._children.setdefault(name, _Child(child))
        known.spec = child
        self._members[name] = update
        self._requirements[name] = {
            key: capabilities[key] for key in (MEMBER, PLACE) if key in capabilities
        }
        self.log.info("machine_joined", machine=name)
        self._begin(name)

    def _gone(self, name: str, update: ActorSystemConventionUpdate) -> None:
        if not self._is_another(name, update):
            self._left(name)
        namesake = self._namesakes.get(name)
        if namesake and namesake.remoteAdminAddress == update.remoteAdminAddress:
            del self._namesakes[name]

    def _left(self, name: str) -> None:
        """A machine that leaves while its supervisor runs does so in order, and is forgotten; one
        that was silent until then is lost, and stays in the tree as ended."""
        if self._members.pop(name, None) is not None:
            child = self._children[name]
            in_order = child.status == RUNNING and not child.killed
            self.log.warning("machine_left", machine=name, in_order=in_order)
            self._drop_start(name)
            if child.address is not None:
                self._exited(child)
            if in_order and self._ending is None:
                del self._children[name]
                self._children_changed()

    def _stop_all(self, reason: str) -> None:
        super()._stop_all(reason)
        for id in self._ids(STARTING, RUNNING):  # all at once: they are independent
            self._stop(self._children[id])

    def _begin(self, name: str) -> None:
        if self._ending is None:
            self._plan.append(("start", name))
            self._advance()

    def _restart_ended(self) -> None:
        """Restart the remote supervisors that ended on machines that are members."""
        for name, update in list(self._namesakes.items()):
            if not self._is_taken(name, update):
                del self._namesakes[name]
                self._joined(name, update)
        for name in sorted(self._members):
            if self._children[name].status == ENDED:
                self._begin(name)

    def receiveMsg_Heartbeat(self, message: Heartbeat, sender: ActorAddress) -> None:
        """Confirm a remote supervisor's heartbeat; end one that was replaced."""
        super().receiveMsg_Heartbeat(message, sender)
        if self._current(message) is None:
            self.send(sender, ActorExitRequest())
        else:
            self.send(sender, Heard())

    def _create(self, child: _Child) -> ActorAddress:
        wanted = self._requirements[child.spec.id]
        return self.createActor(child.spec.actor, targetActorRequirements=wanted)

    def _kill(self, child: _Child) -> None:
        """Ask it to end, since its process is on another machine; consider it dead soon after."""
        child.killed = True
        self.send(child.address, ActorExitRequest())
        self._set_deadline(child, BURIAL_S)
