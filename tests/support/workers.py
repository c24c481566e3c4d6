"""Actors that the supervision tests kill, hang and stop."""

import os
import signal
import time
from pathlib import Path

from callboard.supervision import Forwarded, Peer, SupervisedActor, Supervisor


class Worker(SupervisedActor):
    """Replies with its state; obeys commands."""

    def on_start(self, args):
        self.args = args or {}
        self.record("start")
        if self.args.get("fail_start"):
            raise RuntimeError("cannot start")
        if self.args.get("hang_start"):
            time.sleep(600)
        if self.args.get("finish_start"):
            self.finish()
        while not Path(self.args.get("start_after", "/")).exists():
            time.sleep(0.01)

    def record(self, what):
        if "journal" in self.args:
            with Path(self.args["journal"]).open("a") as journal:
                journal.write(f"{what} {self.path}\n")

    def stats(self):
        return {"answer": 42}

    def on_stop(self):
        self.record("stop")
        if not self.args.get("deaf"):
            self.finish()

    def receiveMsg_str(self, message, sender):
        if message == "who":
            self.send(sender, (self.path, self.incarnation, os.getpid()))
        elif message == "peers":
            self.send(sender, {path: peer.incarnation for path, peer in self.peers.items()})
        elif message == "raise":
            raise RuntimeError("told to")
        elif message == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif message == "hang":
            time.sleep(600)
        elif message == "wait":
            for _call in range(8):
                self.alive()
                time.sleep(0.5)
            self.record("waited")
        elif message == "finish":
            self.finish()


class Watcher(Worker):
    """Counts the messages that change its peers."""

    changes = 0

    def on_peers(self, _before):
        self.changes += 1

    def receiveMsg_str(self, message, sender):
        if message == "changes":
            self.send(sender, self.changes)
        else:
            super().receiveMsg_str(message, sender)


class Branch(Supervisor):
    """A supervisor whose descendants' paths start again, and which accepts any member that asks."""

    names_begin_here = True
    guest = None

    def guests(self):
        return {} if self.guest is None else {"guests/1": Peer("guests/1", 1, self.guest, 0)}

    def receiveMsg_str(self, _message, sender):
        self.guest = sender
        self.guests_changed()


class Relay(Worker):
    """Forwards a message to its peer, which replies to the original sender."""

    def receiveMsg_str(self, message, sender):
        self.send(self.peer("b"), Forwarded(sender, message))


class NotStarting(Worker):
    """Raises in its constructor."""

    def __init__(self, capabilities=None):
        super().__init__(capabilities)
        raise RuntimeError("no instance of this")
