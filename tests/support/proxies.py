"""A forward proxy on loopback that records its requests."""

import socket
import threading
from contextlib import contextmanager, suppress


class ForwardProxy:
    """Responds to CONNECT with a tunnel, and to an absolute URL with a fixed response.

    Every name leads to `target` (host and port): nothing is resolved.
    """

    def __init__(self, target, status="200 Connection established"):
        self.heads = []
        self._target = target
        self._status = status
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self):
        for end in self._sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client):
        with suppress(OSError), client:
            while head := self._head(client):
                self.heads.append(head)
                if head.startswith("CONNECT"):
                    client.sendall(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
                    if self._status.startswith("200"):
                        self._tunnel(client)
                    return
                client.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    def _head(self, client):
        data = b""
        while b"\r\n\r\n" not in data:
            received = client.recv(65536)
            if not received:
                return ""
            data += received
        return data.partition(b"\r\n\r\n")[0].decode()

    def _tunnel(self, client):
        with socket.create_connection(self._target) as server:
            self._sockets.append(server)
            back = threading.Thread(target=self._pump, args=(server, client))
            back.start()
            self._pump(client, server)
            back.join()

    def _pump(self, source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def forward_proxy(target=("127.0.0.1", 9), status="200 Connection established"):
    proxy = ForwardProxy(target, status)
    try:
        yield proxy
    finally:
        proxy.close()
