"""Supervision across actor systems: a supervisor on each machine that has joined (conventions).

Only the link between `RemoteSupervisors` and each `RemoteSupervisor` leaves the machine. What it
lacks of a local one is made up for: Thespian does not report that an actor elsewhere has died with
its machine, a process elsewhere cannot be killed by its number, and the kernel ends nobody there
whose supervisor has died. So both ends go by what they hear of each other, and each acts alone when
it hears nothing.
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
"""How long until an outpost that ended is tried again, while its machine is there."""

REMOTE_SUPERVISOR_STOP_S = 15.0
"""How long an outpost may take to stop when asked."""

REMOTE_SUPERVISORS_STOP_S = REMOTE_SUPERVISOR_STOP_S + BURIAL_S + 1.0
"""How long all of them may take: they are asked at once, and one that is gone is given up."""

MEMBER = "callboard: member"
"""The capability that names a machine; of several with one name only one has an outpost."""

PLACE = "callboard: place"
"""The capability that tells machines of one name apart, where the operator has them so."""

Capabilities = Mapping[str, Any]


@frozen
class RemoteSupervisorsSpec:
    """`children_of` says what runs on a machine, from its capabilities; None: nothing.

    It is called in the actor, so it must pickle: a function of a module. `args` are passed on.
    """

    children_of: Callable[[Any, Capabilities], SupervisorSpec | None]
    args: Any
    supervisor: SupervisorSpec


class RemoteSupervisor(Supervisor):
    """A supervisor in another actor system than its own supervisor's.

    It ends, and everything below it, when that one has not been heard of for `hang_s`: the other
    side has given it up by then, and what it had in hand is done again elsewhere.
    """

    @staticmethod
    def actorSystemCapabilityCheck(capabilities: Capabilities, requirements: Capabilities) -> bool:
        """Only on the machine that is asked for."""
        return all(capabilities.get(key) == value for key, value in requirements.items())

    def on_start(self, args: Any) -> None:
        """Begin to listen for the other side."""
        self._unheard = 0
        super().on_start(args)
        self.every(self.spec.heartbeat_s, self._count_silence)

    def receiveMsg_Heard(self, _message: Heard, _sender: ActorAddress) -> None:
        """The supervisor lives, and has heard of this."""
        self._unheard = 0

    def _count_silence(self) -> None:
        """Count the periods without a word; a process that stood still itself counts one."""
        self._unheard += 1
        if self._unheard * self.spec.heartbeat_s > self.spec.hang_s:
            self.log.error("supervisor_lost", unheard=self._unheard)
            os._exit(CRASH_EXIT_STATUS)


def remote_supervisor(name: str, inside: SupervisorSpec) -> ChildSpec:
    """The specification of the outpost on the machine of that name, with this inside."""
    return ChildSpec(
        name, RemoteSupervisor, inside, restart=TEMPORARY, shutdown_s=REMOTE_SUPERVISOR_STOP_S
    )


class RemoteSupervisors(Supervisor):
    """One `RemoteSupervisor` on each machine that has joined and fits; started with an
    `RemoteSupervisorsSpec`.

    An outpost that ends is started again as long as its machine is there, however often: that says
    nothing of this side.
    """

    def specification(self, args: RemoteSupervisorsSpec) -> SupervisorSpec:
        """No children yet."""
        self._remote_specification = args
        self._there: dict[str, ActorSystemConventionUpdate] = {}
        self._namesakes: dict[str, ActorSystemConventionUpdate] = {}
        self._requirements: dict[str, Capabilities] = {}
        return args.supervisor

    def on_start(self, args: RemoteSupervisorsSpec) -> None:
        """Hear of machines."""
        super().on_start(args)
        self.notifyOnSystemRegistrationChanges(True)
        self.every(AGAIN_S, self._try_again)

    def receiveMsg_ActorSystemConventionUpdate(
        self, update: ActorSystemConventionUpdate, _sender: ActorAddress
    ) -> None:
        """A machine has joined, or left, or has not been heard of for long."""
        name = (update.remoteCapabilities or {}).get(MEMBER)
        if not isinstance(name, str):
            return
        if not update.remoteAdded:
            self._gone(name, update)
        elif self._is_taken(name, update):
            self.log.error(
                "machine_name_taken",
                machine=name,
                by=str(self._there[name].remoteAdminAddress),
                refused=str(update.remoteAdminAddress),
            )
            self._namesakes[name] = update
        else:
            self._joined(name, update)

    def _is_taken(self, name: str, update: ActorSystemConventionUpdate) -> bool:
        """Whether another machine of that name is there, and its outpost has not ended."""
        return self._is_another(name, update) and self._children[name].status != ENDED

    def _is_another(self, name: str, update: ActorSystemConventionUpdate) -> bool:
        there = self._there.get(name)
        return there is not None and there.remoteAdminAddress != update.remoteAdminAddress

    def _joined(self, name: str, update: ActorSystemConventionUpdate) -> None:
        if self._is_another(name, update):
            self._namesakes[name] = self._there[name]
        self._left(name)  # the same machine again: it was restarted
        capabilities = update.remoteCapabilities
        inside = self._remote_specification.children_of(
            self._remote_specification.args, capabilities
        )
        if inside is None:
            return
        child = remote_supervisor(name, inside)
        others = tuple(other for other in self.spec.children if other.id != name)
        self.spec = evolve(self.spec, children=(*others, child))
        known = self._children.setdefault(name, _Child(child))
        known.spec = child
        self._there[name] = update
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
        if self._there.pop(name, None) is not None:
            self.log.warning("machine_left", machine=name)
            self._drop_start(name)
            child = self._children[name]
            if child.address is not None:
                self._exited(child)

    def _stop_all(self, reason: str) -> None:
        super()._stop_all(reason)
        for id in self._ids(STARTING, RUNNING):  # at once: they do not need each other
            self._stop(self._children[id])

    def _begin(self, name: str) -> None:
        if self._ending is None:
            self._plan.append(("start", name))
            self._advance()

    def _try_again(self) -> None:
        """Start again what has ended on machines that are there."""
        for name, update in list(self._namesakes.items()):
            if not self._is_taken(name, update):
                del self._namesakes[name]
                self._joined(name, update)
        for name in sorted(self._there):
            if self._children[name].status == ENDED:
                self._begin(name)

    def receiveMsg_Heartbeat(self, message: Heartbeat, sender: ActorAddress) -> None:
        """An outpost lives; let it know that this does. One that was given up is to end."""
        super().receiveMsg_Heartbeat(message, sender)
        if self._current(message) is None:
            self.send(sender, ActorExitRequest())
        else:
            self.send(sender, Heard())

    def _create(self, child: _Child) -> ActorAddress:
        wanted = self._requirements[child.spec.id]
        return self.createActor(child.spec.actor, targetActorRequirements=wanted)

    def _kill(self, child: _Child) -> None:
        """Its process number is another machine's: ask, and give it up soon after."""
        child.killed = True
        self.send(child.address, ActorExitRequest())
        self._set_deadline(child, BURIAL_S)
