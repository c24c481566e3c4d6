"""A supervised tree on either system base, and functions to inspect it."""

import os
import signal
import time
from contextlib import contextmanager
from datetime import timedelta

import psutil
from thespian.actors import ActorExitRequest, ActorSystem

from callboard.adapters.local.sealed_transport import KEY_BYTES, seal, unseal
from callboard.supervision import GetTree, Start, Supervisor, SupervisorSpec, TreeNode
from callboard.supervision.messages import Heartbeat
from services import free_port
from support.patience import patient

KEY = bytes(KEY_BYTES)
ANSWER = timedelta(seconds=patient(20))
"""How long a test waits for an actor's answer."""
SIMPLE, MULTI = "simpleSystemBase", "multiprocTCPBase"


def actor_system(base, capabilities=()):
    """A new actor system with the test's own logging, on a free port if it needs one."""
    capabilities = dict(capabilities)
    if base == MULTI:
        capabilities["Admin Port"] = free_port()
    logs = {"version": 1, "disable_existing_loggers": False}
    return ActorSystem(base, capabilities, logDefs=logs, transientUnique=True)


@contextmanager
def running_system(*, sealed=True):
    """A new actor system with a process for every actor, and a key if it is sealed."""
    if sealed:
        seal(KEY)
    system = actor_system(MULTI)
    try:
        yield system
    finally:
        system.shutdown()
        unseal()


def leaves(spec):
    """The specifications of all children that are no supervisors."""
    for child in spec.children:
        if isinstance(child.args, SupervisorSpec):
            yield from leaves(child.args)
        else:
            yield child


class Tree:
    """A top supervisor and the conversation with it; `args` as its `top` takes them."""

    def __init__(self, base, args, top=Supervisor, capabilities=()):
        self.base = base
        self.system = actor_system(base, capabilities)
        self.top = self.system.createActor(top)
        self.heard = []
        self.system.tell(self.top, Start(args=args, heartbeat_s=0))

    def hear(self, kind, timeout_s=10.0):
        """The next message of this kind."""
        timeout_s = patient(timeout_s)
        end = time.monotonic() + timeout_s
        while True:
            for message in self.heard:
                if isinstance(message, kind):
                    self.heard.remove(message)
                    return message
            left = end - time.monotonic()
            assert left > 0, f"no {kind} within {timeout_s} s; heard {self.heard}"
            message = self.system.listen(timedelta(seconds=min(left, 0.2)))
            if message is not None and not isinstance(message, Heartbeat):
                self.heard.append(message)

    def ask(self, address, message, kind):
        self.system.tell(address, message)
        return self.hear(kind)

    def tree(self):
        return self.ask(self.top, GetTree(), TreeNode)

    def node(self, path):
        return self.tree().at(path)

    def wait(self, condition, timeout_s=10.0):
        """Wait until `condition(tree)` holds; returns that tree."""
        timeout_s = patient(timeout_s)
        end = time.monotonic() + timeout_s
        while True:
            tree = self.tree()
            if condition(tree):
                return tree
            assert time.monotonic() < end, f"not within {timeout_s} s: {tree}"
            self.system.listen(timedelta(seconds=0.02))

    def kill(self, path):
        os.kill(self.node(path).pid, signal.SIGKILL)

    def close(self):
        """End the system; the test fails if a process remains."""
        family = self._family() if self.base == MULTI else []
        if self.base == SIMPLE:
            # This system ends no actor, and a broker would count their connections as live.
            self.system.tell(self.top, ActorExitRequest())
        self.system.shutdown()
        left = psutil.wait_procs(family, timeout=patient(5))[1]
        for process in left:
            process.kill()
        assert not left, f"left behind: {left}"

    def _family(self):
        """The system's admin, found by its port, and all its descendants."""
        port = self.system._systemBase.adminAddr.addressDetails.connectArgs[0][1]
        here = psutil.Process().cmdline()
        for process in psutil.process_iter(["cmdline"]):
            if process.info["cmdline"] == here and _listens_on(process, port):
                return [process, *process.children(recursive=True)]
        return []


def _listens_on(process, port):
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)
