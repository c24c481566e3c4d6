"""Mends how Thespian (4.0.1) hears of children that ended: it could forget some, and wait for them.

When it hears that one child has ended, it forgets the processes of all that have ended by then. One
of these whose own word was lost, because it was killed, or because a busy parent did not take it
within seven seconds, is never told of: a parent that is to end waits for it for ever, and so do all
above, up to the admin, whose port nobody else can take.
"""

from typing import Any

from thespian.system.multiprocCommon import MultiProcReplicator


def _forget(self: Any, child: Any) -> None:
    """Forget the process of this child alone; SIGCHLD has `childDied` tell of the others."""
    self._child_procs = [
        each
        for each in getattr(self, "_child_procs", [])
        if getattr(each, "childRealAddr", each.childAddr) != child or self._checkChildLiveness(each)
    ]


def mend() -> None:
    """Do so in this process and in those that are forked from it."""
    MultiProcReplicator._childExited = _forget
