"""A TCP proxy that forwards data after a delay, stands still, or loses what it is to forward."""

import asyncio
import contextlib
import threading


class SlowProxy:
    """Forwards what arrives at `host` to `port` of loopback; `delay_s` may be changed meanwhile.

    While `frozen` it accepts connections and forwards nothing, like a suspended server. While
    `losing` it drops data, like a cut network; `heal` ends that, and the
    connections that have lost data.
    """

    def __init__(self, port, host="127.0.0.1"):
        self._target = port
        self._host = host
        self.delay_s = 0.0
        self.frozen = self.losing = False
        self._broken = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        serving = asyncio.start_server(self._serve, self._host, 0)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{self._host}:{self.port}"
        return self

    def heal(self):
        """Forward again, on new connections."""
        self.losing = False
        for writer in self._broken:
            self._loop.call_soon_threadsafe(writer.transport.abort)
        self._broken = set()

    def __exit__(self, *_exc):
        # Otherwise processes that later tests fork would inherit its open sockets.
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self):
        self._server.close()
        conversations = asyncio.all_tasks() - {asyncio.current_task()}
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)

    async def _serve(self, reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        both = writer, there_writer
        await asyncio.gather(
            self._pump(reader, there_writer, both), self._pump(there_reader, writer, both)
        )

    async def _pump(self, reader, writer, both):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(self.delay_s)
                while self.frozen:
                    await asyncio.sleep(0.05)
                if self.losing:
                    self._broken.update(both)
                    continue
                writer.write(data)
                await writer.drain()
        writer.close()
