"""Hosts that embed Callboard, and the tests' conversation with them."""

import os
import time
from datetime import timedelta

import psutil
from attrs import frozen
from thespian.actors import Actor, ActorSystem, ActorTypeDispatcher, ChildActorExited

from callboard import embed
from services import free_port
from support.trees import MULTI


@frozen
class Create:
    """To a Host: make a Callboard of this name."""

    name: str
    start: object


@frozen
class Send:
    """To a Host: send this to that Callboard."""

    name: str
    message: object


@frozen
class Heard:
    """From a Host or a Listener: what it was sent. `name`: by which Callboard, if that is known."""

    name: str
    message: object
    pid: int


class Host(Actor):
    """A plain actor that does what the test says, and passes on whatever else it hears."""

    def __init__(self):
        self.callboards = {}
        self.test = None

    def receiveMessage(self, message, sender):
        if isinstance(message, Create):
            self.test = sender
            self.callboards[message.name] = self.createActor(embed.Callboard)
            if message.start is not None:
                self.send(self.callboards[message.name], message.start)
        elif isinstance(message, Send):
            self.send(self.callboards[message.name], message.message)
        elif self.test is not None:
            if isinstance(message, embed.Notices):
                self.send(sender, message.seen())
            who = message.childAddress if isinstance(message, ChildActorExited) else sender
            if isinstance(message, ChildActorExited):
                message = "ended"
            names = [name for name, address in self.callboards.items() if address == who]
            self.send(self.test, Heard(*(names or [""]), message, os.getpid()))


class Listener(ActorTypeDispatcher):
    """Subscribes to a Callboard it is told of, and passes on what it hears."""

    confirms = True

    def receiveMsg_Peer(self, callboard, sender):
        self.test = sender
        self.callboard = callboard.address
        self.send(callboard.address, embed.SubscribeToNotices())

    def receiveMsg_Unsubscribe(self, message, _sender):
        self.send(self.callboard, message)

    def receiveMsg_Subscribed(self, message, _sender):
        self.send(self.test, Heard("", message, os.getpid()))

    receiveMsg_Unsubscribed = receiveMsg_Subscribed

    def receiveMsg_Notices(self, message, sender):
        if self.confirms:
            self.send(sender, message.seen())
        self.send(self.test, Heard("", message, os.getpid()))


class DeafListener(Listener):
    """Confirms nothing."""

    confirms = False


class Hosted:
    """An actor system with a Host, and everything that was heard in it."""

    def __init__(self, base, host=Host):
        capabilities = {"Admin Port": free_port()} if base == MULTI else {}
        logs = {"version": 1, "disable_existing_loggers": False}
        self.base = base
        self.system = ActorSystem(base, capabilities, logDefs=logs, transientUnique=True)
        self.host = self.system.createActor(host)
        self.heard = []

    def create(self, name, settings, **options):
        self.system.tell(self.host, Create(name, embed.begin(settings, **options)))

    def begin(self, name, settings):
        """Create a Callboard and wait until it stands."""
        self.create(name, settings)
        self.pid = self.hear(name, embed.Ready, 30).pid

    def send(self, name, message):
        self.system.tell(self.host, Send(name, message))

    def ask(self, name, message, kind, timeout_s=10.0):
        self.send(name, message)
        found = self.hear(None, (kind, embed.Refused), timeout_s)
        assert isinstance(found, kind), found
        return found

    def listen(self, seconds):
        """Let the actors run (on simpleSystemBase nothing else does), and hear them."""
        message = self.system.listen(timedelta(seconds=seconds))
        if isinstance(message, Heard):
            self.heard.append(message)

    def hear(self, name, kind, timeout_s=15.0):
        """The next message of that kind, or that text, from that Callboard; None: from anybody."""

        def found():
            for heard in self.heard:
                wanted = heard.message == kind if isinstance(kind, str) else None
                wanted = isinstance(heard.message, kind) if wanted is None else wanted
                if wanted and name in (None, heard.name):
                    self.heard.remove(heard)
                    return heard.message
            return None

        return self.wait(found, timeout_s, f"{kind} from {name}")

    def wait(self, condition, timeout_s=15.0, what="the condition"):
        end = time.monotonic() + timeout_s
        while not (result := condition()):
            assert time.monotonic() < end, f"{what} not within {timeout_s} s; heard {self.heard}"
            self.listen(0.05)
        return result

    def notices(self, kind, count=1, timeout_s=15.0):
        """So many notices of this class, from whatever batches they came in."""
        found = []

        def enough():
            for heard in list(self.heard):
                if isinstance(heard.message, embed.Notices):
                    if any(isinstance(notice, kind) for notice in heard.message.notices):
                        self.heard.remove(heard)
                        found.extend(heard.message.notices)
            return len(found) >= count

        self.wait(enough, timeout_s, f"{count} {kind.__name__}")
        return found

    def tree(self, name):
        return self.ask(name, embed.GetTree(), embed.TreeNode)

    def family(self):
        """All processes of this system but this one."""
        if self.base != MULTI:
            return []
        port = self.system._systemBase.adminAddr.addressDetails.connectArgs[0][1]
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                admin = psutil.Process(connection.pid)
                return [admin, *admin.children(recursive=True)]
        return []

    def close(self):
        family = self.family()
        self.system.shutdown()
        left = psutil.wait_procs(family, timeout=10)[1]
        for process in left:
            process.kill()
        assert not left, f"left behind: {left}"
