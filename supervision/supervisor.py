"""The supervisor: an actor that starts, watches, restarts and stops its children.

Status of a child: `waiting` (not started yet), `starting` (not ready yet), `running`, `stopping`,
`down` (ended, about to be started again), `ended` (ended, and not to be started again).
"""

import itertools
import os
import signal
import time
from collections import deque
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

from attrs import Factory, define, evolve
from thespian.actors import ActorAddress, ActorExitRequest, ChildActorExited

from callboard.supervision.actor import SupervisedActor
from callboard.supervision.decision import RestartHistory, hanging, on_exit, stop_order
from callboard.supervision.last_words import LastWords, inherited
from callboard.supervision.messages import (
    DirectoryReport,
    Finished,
    GaveUp,
    GetTree,
    Heartbeat,
    Locate,
    Located,
    Peer,
    PeersChanged,
    Ready,
    Start,
    Stop,
    TreeNode,
)
from callboard.supervision.spec import ChildSpec, SupervisorSpec
from callboard.supervision.thespian_patches import child_processes

WAITING, STARTING, RUNNING, STOPPING = "waiting", "starting", "running", "stopping"
DOWN, ENDED = "down", "ended"

BURIAL_S = 2.0
"""The time-out for Thespian to report the end of a process that was killed."""

_ALIVE = (STARTING, RUNNING, STOPPING)
_START, _STOP = "start", "stop"


@define
class _Child:
    """The state of one child.

    `fault`: why it was killed or gave up. `because`: why its predecessor ended. `sent_peers`: the
    peers last sent to it. `process`: None if it is not a child of this one.
    """

    spec: ChildSpec
    status: str = WAITING
    address: ActorAddress | None = None
    incarnation: int = 0
    pid: int | None = None
    process: BaseProcess | None = None
    last_words: LastWords = Factory(LastWords)
    restarts: int = -1
    started_at: float | None = None
    last_seen: float = 0.0
    normal: bool = False
    killed: bool = False
    fault: str = ""
    because: str = ""
    stats: Mapping[str, Any] = Factory(dict)
    tree: TreeNode | None = None
    below: Mapping[str, Peer] = Factory(dict)
    below_version: int = 0
    sent_peers: Mapping[str, Peer] | None = None


def _why_ended(child: _Child) -> str:
    if child.fault or child.normal:
        return child.fault or "it finished"
    if words := child.last_words.read():
        return f"it failed with {words}"
    status = child.process.exitcode if child.process else None
    if status is not None and status < 0:
        return f"it was killed by {signal.Signals(-status).name}"
    return "it crashed or was killed"


class Supervisor(SupervisedActor):
    """Supervises the children of a `SupervisorSpec` (OTP: supervisor).

    Started with the specification as `args`; a subclass may create it from other arguments by
    overriding `specification`. It is ready when each child is ready, or has ended for good.

    A child that ends before it is ready is treated like one that ran: it is restarted if its type
    permits, and this counts as a restart. In OTP, the start of the supervisor fails at once.
    """

    names_begin_here = False
    """Whether the paths below are relative to this supervisor, and so independent of its place in a
    larger tree. Outside, its actors have the paths `{path of this one}/{path inside}`."""

    def __init__(self, capabilities: Mapping[str, Any] | None = None) -> None:
        super().__init__(capabilities)
        # Before `Start`, the tree is empty.
        self.spec = SupervisorSpec()
        self._children: dict[str, _Child] = {}
        self._ending: str | None = None
        self._changes = self.timer(self._report_changes)

    def specification(self, args: Any) -> SupervisorSpec:
        """The children and the strategy, from the arguments of `Start`."""
        if not isinstance(args, SupervisorSpec):
            raise TypeError(f"{type(args).__name__} is no SupervisorSpec")
        return args

    def on_start(self, args: Any) -> None:
        """Start the children one after the other."""
        self.spec = self.specification(args)
        self._children = {child.id: _Child(child) for child in self.spec.children}
        self._plan: deque[tuple[str, str]] = deque((_START, id) for id in self._children)
        self._history = RestartHistory()
        self._versions = itertools.count(1)
        self._announced = False
        self._last_check = time.monotonic()
        self.every(self.spec.heartbeat_s, self._check_liveness)
        self._advance()

    def announce_ready(self) -> None:
        """Do nothing: `_advance` reports it once all children are ready."""

    def guests(self) -> Mapping[str, Peer]:
        """Other actors, outside of the tree, that can be peers of its actors."""
        return {}

    def on_directory(self, directory: Mapping[str, Peer]) -> None:
        """The actors below this supervisor have changed."""

    def guests_changed(self) -> None:
        """Send the children the changed guests."""
        self._send_peers()

    def give_up(self, reason: str) -> None:
        """End abnormally and report the reason; all children must have ended."""
        if not self._ended:
            self.log.error("gave_up", reason=reason)
            self.send(self.supervisor, GaveUp(self.path, reason))
            self._end()

    def on_stop(self) -> None:
        """Stop the children in reverse order, then end."""
        if self._ending is None:
            self._stop_all("")

    def stats(self) -> Mapping[str, Any]:
        """The supervisor's own part of the tree."""
        return {"tree": self.tree()}

    def tree(self) -> TreeNode:
        """The tree from here down; nested parts are as old as their last heartbeat."""
        return TreeNode(
            id=self.path.rpartition("/")[2],
            path=self.path,
            actor=type(self).__name__,
            label="",
            status=STOPPING if self._ending is not None else RUNNING,
            pid=os.getpid(),
            started_at=None,
            restarts=0,
            stats={},
            children=tuple(self._node(child) for child in self._children.values()),
        )

    # Messages

    def receiveMsg_Ready(self, message: Ready, sender: ActorAddress) -> None:
        """A child has started; start the next."""
        child = self._current(message)
        if child is None or child.status != STARTING:
            return
        child.status, child.address, child.pid = RUNNING, sender, message.pid
        child.started_at, child.last_seen = time.time(), time.monotonic()
        self.log.info("child_started", child=child.spec.id, child_pid=child.pid)
        self._children_changed()
        self._advance()

    def receiveMsg_Heartbeat(self, message: Heartbeat, _sender: ActorAddress) -> None:
        """A child is alive."""
        child = self._current(message)
        if child is not None:
            child.last_seen = time.monotonic()
            child.tree = message.stats.get("tree")
            child.stats = {k: v for k, v in message.stats.items() if k != "tree"}

    def receiveMsg_Finished(self, message: Finished, _sender: ActorAddress) -> None:
        """A child is about to end normally."""
        child = self._current(message)
        if child is not None:
            child.normal = True

    def receiveMsg_GaveUp(self, message: GaveUp, _sender: ActorAddress) -> None:
        """A supervisor below exceeded its restart intensity, and is about to end."""
        self.log.error("supervisor_gave_up", child=message.path, reason=message.reason)
        child = self._children.get(message.path.rpartition("/")[2])
        if child is not None:
            child.fault = message.reason

    def receiveMsg_ChildActorExited(self, message: ChildActorExited, _sender: Any) -> None:
        """A child has ended, for any reason."""
        for child in self._children.values():
            if child.address is not None and message.childAddress == child.address:
                self._exited(child)
                return

    def receiveMsg_DirectoryReport(self, message: DirectoryReport, _sender: ActorAddress) -> None:
        """The actors below one of our supervisors have changed."""
        child = self._current(message)
        if child is not None and message.version > child.below_version:
            child.below, child.below_version = message.peers, message.version
            self._children_changed()

    def receiveMsg_GetTree(self, _message: GetTree, sender: ActorAddress) -> None:
        """Send the tree."""
        self.send(sender, self.tree())

    def receiveMsg_Locate(self, message: Locate, sender: ActorAddress) -> None:
        """Send the address of an actor of the tree."""
        self.send(sender, Located(message.path, self._all_peers().get(message.path)))

    def on_peers(self, _before: Mapping[str, Peer]) -> None:
        """The directory has changed somewhere in the tree."""
        self._send_peers()

    # Starting and stopping, one step after the other

    def _advance(self) -> None:
        while self._plan:
            action, id = self._plan[0]
            child = self._children[id]
            if action == _START:
                if child.status in (WAITING, DOWN, ENDED):
                    self._start(child)
                if child.status == STARTING:
                    return
            else:
                if child.status in (STARTING, RUNNING):
                    self._stop(child)
                if child.status == STOPPING:
                    return
            self._plan.popleft()
        if self._ending is not None:
            self._conclude()
            return
        if self._changes.is_set:
            self._report_changes()
        if not self._announced:
            self._announced = True
            super().announce_ready()

    def _drop_start(self, id: str) -> None:
        self._plan = deque(step for step in self._plan if step != (_START, id))

    def _conclude(self) -> None:
        if not self._ending:
            self.finish()
            return
        self.give_up(self._ending)

    def _start(self, child: _Child) -> None:
        child.status, child.normal, child.killed, child.fault = STARTING, False, False, ""
        child.incarnation = max(child.incarnation + 1, time.time_ns())
        child.restarts += 1
        child.stats, child.tree, child.below, child.below_version = {}, None, {}, 0
        child.sent_peers = self._peers_for(child.spec)
        child.last_words = LastWords()
        with inherited(child.last_words):
            child.address = self._create(child)
        child.process = self._process_of(child.address)
        child.pid = child.process.pid if child.process else None
        self.send(
            child.address,
            Start(
                path=self._path_of(child),
                args=child.spec.args,
                incarnation=child.incarnation,
                heartbeat_s=self.spec.heartbeat_s,
                peers=child.sent_peers,
            ),
        )
        self._set_deadline(child, child.spec.start_s)

    def _create(self, child: _Child) -> ActorAddress:
        return self.createActor(child.spec.actor)

    def _stop(self, child: _Child) -> None:
        child.status = STOPPING
        self._children_changed()
        if child.spec.shutdown_s:
            self.send(child.address, Stop())
            self._set_deadline(child, child.spec.shutdown_s)
        else:
            self._kill(child)

    def _stop_all(self, reason: str) -> None:
        self._ending = reason
        self._plan = deque((_STOP, id) for id in stop_order(self.spec, self._ids(*_ALIVE)))
        self._advance()

    def _kill(self, child: _Child) -> None:
        child.killed = True
        if self.own_process and child.pid is not None and child.pid != os.getpid():
            try:
                os.kill(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                self.log.info("child_already_gone", child=child.spec.id, child_pid=child.pid)
        else:
            self.send(child.address, ActorExitRequest())
        self._set_deadline(child, BURIAL_S)

    def _set_deadline(self, child: _Child, seconds: float) -> None:
        overdue = partial(self._overdue, child.spec.id, child.incarnation, child.status)
        self.after(seconds, overdue)

    def _overdue(self, id: str, incarnation: int, status: str) -> None:
        """The child should have left this status by now."""
        child = self._children.get(id)
        if child is None or (child.incarnation, child.status) != (incarnation, status):
            return
        if child.killed:
            self._exited(child)
            return
        self.log.warning(
            "child_overdue", child=child.spec.id, status=child.status, child_pid=child.pid
        )
        child.fault = f"it took too long while {child.status}"
        self._kill(child)

    # Ends and restarts

    def _exited(self, child: _Child) -> None:
        was = child.status
        child.status, child.address, child.pid = DOWN, None, None
        child.started_at, child.tree, child.below, child.sent_peers = None, None, {}, None
        self._children_changed()
        if was == STARTING:
            self._drop_start(child.spec.id)  # `_decide` may plan another start
        if was != STOPPING and self._ending is None:
            child.because = _why_ended(child)
            self._decide(child)
        self._advance()

    def _decide(self, child: _Child) -> None:
        decision, self._history = on_exit(
            self.spec,
            self._ids(*_ALIVE),
            child.spec,
            child.normal,
            self._history,
            time.monotonic(),
        )
        report = self.log.info if child.normal else self.log.warning
        report(
            "child_ended",
            child=child.spec.id,
            normal=child.normal,
            because=child.because,
            restart=decision.start,
        )
        if decision.give_up:
            self._stop_all(
                f"{self.path or 'the top supervisor'}: {child.spec.id} ended, and that was more "
                f"than {self.spec.max_restarts} restarts in {self.spec.within_s:g} s; the last "
                f"time {child.because}"
            )
            return
        if not decision.start:
            child.status = ENDED
        for id in decision.stop:
            self._children[id].because = f"restarted along with {child.spec.id}"
        steps = [(_STOP, id) for id in decision.stop] + [(_START, id) for id in decision.start]
        self._plan = deque(steps + [step for step in self._plan if step not in steps])

    def _check_liveness(self) -> None:
        now = time.monotonic()
        running = [c for c in self._children.values() if c.status == RUNNING and not c.killed]
        if now - self._last_check > 2 * self.spec.heartbeat_s:
            # This process was suspended itself; heartbeats may be waiting to be read.
            for child in running:
                child.last_seen = now
        self._last_check = now
        for child in running:
            child.last_seen = max(child.last_seen, child.last_words.alive_at)
        waited = {child.spec.id: child.last_seen + child.spec.waits_s for child in running}
        for id in hanging(waited, now, self.spec.hang_s):
            child = self._children[id]
            silent_s = now - child.last_seen
            self.log.warning(
                "child_hangs", child=id, child_pid=child.pid, silent_s=round(silent_s, 1)
            )
            child.fault = f"it was silent for {silent_s:.1f} s"
            self._kill(child)

    # The directory

    def _children_changed(self) -> None:
        if self._plan:
            self._changes.within(self.spec.gather_s)
        else:
            self._report_changes()

    def _report_changes(self) -> None:
        self._changes.clear()
        directory = self._directory()
        if self.path:
            seen = directory
            if self.names_begin_here:
                inside = directory.values()
                outside = [evolve(peer, path=f"{self.path}/{peer.path}") for peer in inside]
                seen = {peer.path: peer for peer in outside}
            report = DirectoryReport(self.path, self.incarnation, seen, next(self._versions))
            self.send(self.supervisor, report)
            self.heartbeat()
        self._send_peers()
        self.on_directory(directory)

    def _path_of(self, child: _Child) -> str:
        above = "" if self.names_begin_here else self.path
        return f"{above}/{child.spec.id}".lstrip("/")

    def _directory(self) -> dict[str, Peer]:
        directory: dict[str, Peer] = {}
        for child in self._children.values():
            if child.status == RUNNING:
                path = self._path_of(child)
                directory[path] = Peer(
                    path, child.incarnation, child.address, child.pid or 0, child.because
                )
            if child.status in (STARTING, RUNNING):
                directory |= child.below
        return directory

    def _all_peers(self) -> Mapping[str, Peer]:
        if self.path and not self.names_begin_here:
            return self.peers
        return {**self._directory(), **self.guests()}

    def _peers_for(self, spec: ChildSpec) -> Mapping[str, Peer]:
        all_peers = self._all_peers()
        if issubclass(spec.actor, Supervisor):
            return dict(all_peers)
        return {
            path: peer
            for path, peer in all_peers.items()
            if any(fnmatchcase(path, wanted) for wanted in spec.peers)
        }

    def _send_peers(self) -> None:
        for child in self._children.values():
            if child.status in (STARTING, RUNNING):
                peers = self._peers_for(child.spec)
                if peers != child.sent_peers:
                    child.sent_peers = peers
                    self.send(child.address, PeersChanged(peers, next(self._versions)))

    # Helpers

    def _current(self, message: Any) -> _Child | None:
        child = self._children.get(message.path.rpartition("/")[2])
        if child is None or child.status not in _ALIVE:
            return None
        return child if child.incarnation == message.incarnation else None

    def _ids(self, *statuses: str) -> tuple[str, ...]:
        return tuple(id for id, child in self._children.items() if child.status in statuses)

    def _process_of(self, address: ActorAddress) -> BaseProcess | None:
        """The process just forked for this child, so that it can be killed before its `Ready`."""
        return next((process for child, process in child_processes(self) if child == address), None)

    def _node(self, child: _Child) -> TreeNode:
        return TreeNode(
            id=child.spec.id,
            path=self._path_of(child),
            actor=child.spec.actor.__name__,
            label=child.spec.label,
            status=child.status,
            pid=child.pid,
            started_at=child.started_at,
            restarts=max(0, child.restarts),
            stats=child.stats,
            children=child.tree.children if child.tree else (),
        )
