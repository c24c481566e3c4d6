"""Sealed transports of actors in one process, each of which runs when the test says."""

import hmac
import pickle
import select
import socket
import struct
import threading
from contextlib import closing, contextmanager
from datetime import timedelta

from thespian.actors import ActorAddress
from thespian.system.timing import currentTime
from thespian.system.transport import TCPTransport, TransmitIntent
from thespian.system.transport.IPBase import TCPv4ActorAddress

from callboard.adapters.local.sealed_transport import Limits
from callboard.adapters.local.stream_transport import StreamTransport
from support.patience import patient

TURN_S = 0.002
KEY = bytes(range(32))
LIMITS = Limits(max_frame_bytes=4_000_000, first_header_s=60.0, strangers=3)
ELSEWHERE = ActorAddress(TCPv4ActorAddress("127.0.0.1", 9, external=True))


class Noted(TransmitIntent):
    """A message that notes how it has ended."""

    def tx_done(self, status):
        self.ended.append((self.message, status))


class Transport(StreamTransport):
    """One that counts how often it has looked for ready descriptors."""

    looks = 0

    def _turn(self, *arguments, **options):
        self.looks += 1
        super()._turn(*arguments, **options)


class End:
    """The transport of one actor, which keeps what it receives and how its messages ended."""

    def __init__(self):
        copy = TCPTransport.ExternalTransportCopy()
        self.transport = Transport(copy, ELSEWHERE, False, False)
        self.received, self.ended = [], []
        self.handle = self._keep

    @property
    def address(self):
        return self.transport.myAddress

    @property
    def port(self):
        return self.address.addressDetails.sockname[1]

    @property
    def streams(self):
        return list(self.transport._streams.values())

    @property
    def messages(self):
        return [message for _sender, message in self.received]

    def send(self, to, *messages, waits=False, **options):
        """Send at once; `waits`: the sender waits for the acknowledgements."""
        for message in messages:
            intent = Noted(to, message, print if waits else None, **options)
            intent.ended = self.ended
            self.transport.scheduleTransmit(None, intent)

    def _keep(self, envelope):
        self.received.append((envelope.sender, envelope.message))
        return True

    def run(self, seconds=TURN_S):
        """Run, and look once at least: a busy machine may take all of the time before."""
        looks, result = self.transport.looks, None
        while result is None and self.transport.looks == looks:
            result = self.transport.run(self.handle, timedelta(seconds=seconds))
        return result

    def look(self):
        """Look for messages whose time is over."""
        self.transport._look_at = currentTime()
        self.run()


def turn(*ends, until, most=500):
    for _turn in range(most):
        if until():
            return
        for end in ends:
            end.run()
    raise AssertionError([(end.messages[-3:], end.ended[-3:]) for end in ends])


def connected(a, b):
    """Two ends with a stream that each has used."""
    a.send(b.address, "there")
    turn(a, b, until=lambda: b.messages)
    b.send(a.address, "back")
    turn(a, b, until=lambda: a.messages and a.ended)
    return a, b


@contextmanager
def made_ends():
    """ends(count=2) -> Ends, which are closed afterwards."""
    made = []

    def ends(count=2):
        made.extend(End() for _number in range(count))
        return made[-count:]

    yield ends
    for end in made:
        end.transport.close()


@contextmanager
def running(end):
    """Run this one in a thread meanwhile."""
    over = threading.Event()

    def run():
        while not over.is_set():
            end.run()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Strange:
    """A listener that is no transport, with its address."""

    def __init__(self, listener):
        self.listener = listener
        port = listener.getsockname()[1]
        self.address = ActorAddress(TCPv4ActorAddress("127.0.0.1", port, external=True))

    def accept(self, end):
        """The next connection, on which `end` has sent something."""
        turn(end, until=lambda: readable(self.listener))
        connection, _peer = self.listener.accept()
        connection.settimeout(patient(5))
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


# The protocol as stream.py describes it


def proof(key, side, nonces):
    return hmac.digest(key, b"callboard proof of the " + side + nonces, "sha256")


class Client:
    """A connector by TCP that has proved a key; what it sends need not make sense."""

    def __init__(self, end, key, address=ELSEWHERE):
        self.connection = socket.create_connection(("127.0.0.1", end.port))
        self.connection.settimeout(patient(5))
        self.connection.send(b"CBF2" + b"n" * 16)
        turn(end, until=lambda: readable(self.connection))
        nonces = b"n" * 16 + self.connection.recv(52)[4:20]
        self.connection.send(proof(key, b"connector", nonces))
        self.key = proof(key, b"connector's frames", nonces)
        self.number = 0
        if address is not None:
            self.send(pickle.dumps(address))

    def frame(self, payload, length=None, received=0, number=None):
        """A frame; by default it is a right one, and the next."""
        if number is None:
            number, self.number = self.number, self.number + 1
        head = struct.pack("<IQ", len(payload) if length is None else length, received)
        sealed = number.to_bytes(8, "little") + head + payload
        return head + hmac.digest(self.key, sealed, "sha256") + payload

    def send(self, payload, **differs):
        self.connection.sendall(self.frame(payload, **differs))

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.connection.close()
