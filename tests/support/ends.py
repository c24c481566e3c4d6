"""Transports of actors in one process, each of which runs when the test says."""

import select
import socket
from contextlib import closing, contextmanager
from datetime import timedelta

from thespian.actors import ActorAddress
from thespian.system import multiprocTCPBase
from thespian.system.transport import TCPTransport, TransmitIntent
from thespian.system.transport.IPBase import TCPv4ActorAddress

from callboard.supervision import SupervisedActor
from callboard.supervision.lean_transport import Readiness
from support.patience import patient

assert SupervisedActor.__module__ == "callboard.supervision.actor"  # It mends Thespian.

TURN_S = 0.002
NOBODY = ActorAddress(TCPv4ActorAddress("127.0.0.1", 9, external=True))


class End:
    """The transport of one actor, which keeps what it receives and how its messages ended.

    `aborts`: whether the run ends with the last message.
    """

    def __init__(self):
        copy = TCPTransport.ExternalTransportCopy()
        kind = multiprocTCPBase.ActorSystemBase.transportType
        self.transport = kind(copy, NOBODY, False, False)
        self.received, self.ended = [], []
        self.goes_on, self.aborts = True, False

    @property
    def address(self):
        return self.transport.myAddress

    @property
    def idle(self):
        return list(self.transport._openSockets.values())

    def send(self, to, *messages, **options):
        """Send messages one after the other, as actors do; returns the intent of the first."""

        def send(message):
            intent = TransmitIntent(to, message, note, note, **options)
            self.transport.scheduleTransmit(None, intent)
            return intent

        def note(status, intent):
            self.ended.append((intent.message, status))
            if waiting:
                send(waiting.pop(0))
            elif self.aborts:
                self.transport.abort_run()

        first, *waiting = messages
        return send(first)

    def handle(self, envelope):
        self.received.append((envelope.sender, envelope.message))
        return self.goes_on

    def run(self, seconds=TURN_S):
        return self.transport.run(self.handle, timedelta(seconds=seconds))

    def look(self, times=1):
        """Check the deadlines now, and not a quarter of a second after the last time."""
        for _time in range(times):
            self.transport.looked_at_s -= 1
            self.run()

    @property
    def messages(self):
        return [message for _sender, message in self.received]


class Counted(Readiness):
    """Counts how often the loop waits."""

    waits = 0

    def wait(self, *arguments):
        self.waits += 1
        return super().wait(*arguments)


def turn(*ends, until, most=500):
    for _turn in range(most):
        if until():
            return
        for end in ends:
            end.run()
    raise AssertionError([(end.messages, end.ended) for end in ends])


@contextmanager
def made_ends():
    """ends(count=2) -> Ends, which are closed afterwards."""
    made = []

    def ends(count=2):
        made.extend(End() for _number in range(count))
        return made[-count:]

    yield ends
    for end in made:
        for idle in end.idle:
            idle.close()
        end.transport.close()


class Strange:
    """A listener that is no transport, with its address."""

    def __init__(self, listener):
        self._listener = listener
        port = listener.getsockname()[1]
        self.address = ActorAddress(TCPv4ActorAddress("127.0.0.1", port, external=True))

    def accept(self, end):
        """The next connection, on which `end` has sent something."""
        turn(end, until=lambda: readable(self._listener))
        connection, _peer = self._listener.accept()
        turn(end, until=lambda: readable(connection))
        return connection


@contextmanager
def stranger():
    """A `Strange` that listens meanwhile."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(patient(5))
        yield Strange(listener)


def readable(connection):
    return select.select([connection], (), (), 0)[0]
