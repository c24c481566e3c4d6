"""A TCP proxy to a broker that counts the AMQP frames its client sends."""

import socket
import threading
from collections import Counter
from contextlib import suppress

METHOD, HEADER, BODY = 1, 2, 3
ACK = 60, 80
"""Class and method of basic.ack (AMQP 0-9-1, 1.8.3.13)."""
PROTOCOL_HEADER_BYTES = 8


class FrameTap:
    """Leads one connection to `port`; from `with` to its end."""

    def __init__(self, port):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ends = [self._listener]
        self._threads = [threading.Thread(target=self._lead)]
        self._unread = b""
        self.frames = Counter()
        """By type; of methods, by class and method."""

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_exc):
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def _lead(self):
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", self._target))
        self._ends += [client, server]
        back = threading.Thread(target=self._pump, args=(server, client))
        self._threads.append(back)
        back.start()
        self._pump(client, server, self._count)

    def _pump(self, source, sink, look=lambda _data: None):
        with suppress(OSError):
            while data := source.recv(65536):
                look(data)
                sink.sendall(data)

    def _count(self, data):
        self._unread += data
        if self._unread.startswith(b"AMQP"):
            self._unread = self._unread[PROTOCOL_HEADER_BYTES:]
        while len(self._unread) >= 7:
            size = int.from_bytes(self._unread[3:7])
            if len(self._unread) < size + 8:
                return
            kind, payload = self._unread[0], self._unread[7 : 7 + size]
            self._unread = self._unread[8 + size :]
            if kind == METHOD:
                kind = int.from_bytes(payload[:2]), int.from_bytes(payload[2:4])
            self.frames[kind] += 1
