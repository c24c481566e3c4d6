"""Mends three things of Thespian (4.0.1).

**Children that ended.** When it hears that one child has ended, it forgets the processes of all
that have ended by then. One of these whose own word was lost, because it was killed, or because a
busy parent did not take it within seven seconds, is never reported: a parent that is to end waits
for it for ever, and so do all above, up to the admin, whose port stays taken.

**Where an actor runs.** It is forked from within a handler of its parent, some thirty frames deeper
than that one; its loop now runs in a place of its own on the stack (roomy_stack.py).

**What a message costs for nothing** (lean_transport.py).
"""

from typing import Any

from thespian.system.actorManager import ActorManager
from thespian.system.multiprocCommon import MultiProcReplicator

from callboard.supervision.lean_transport import lean
from callboard.supervision.roomy_stack import roomy

_run = ActorManager.run


def _forget(self: Any, child: Any) -> None:
    """Forget the process of this child alone; SIGCHLD has `childDied` tell of the others."""
    self._child_procs = [
        each
        for each in getattr(self, "_child_procs", [])
        if getattr(each, "childRealAddr", each.childAddr) != child or self._checkChildLiveness(each)
    ]


def _run_roomy(self: Any) -> None:
    roomy(_run, self)


def mend() -> None:
    """Do so in this process and in those that are forked from it."""
    MultiProcReplicator._childExited = _forget
    ActorManager.run = _run_roomy
    lean()
