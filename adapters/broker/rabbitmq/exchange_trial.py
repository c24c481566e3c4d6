"""Declares the exchanges that Callboard can do without, and binds the queue to them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from pika import exceptions as pika_errors  # type: ignore[import-untyped]

from callboard.adapters.broker.protocol import Binding, Exchange

Request = Callable[..., object]
"""A call with a callback."""


class ExchangeTrial:
    """Asks for optional exchanges one after the other, on a channel of its own.

    A broker that refuses an exchange closes the channel; the others are then asked for on the next
    one. It may also end the connection, as for an unknown type: `doing` names the exchange.
    `done` receives the reasons by the exchange's name.
    """

    def __init__(
        self,
        connection: Any,
        queue: str | None,
        exchanges: Iterable[Exchange],
        bindings: Iterable[Binding],
        done: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._connection, self._queue, self._done = connection, queue, done
        self._left = list(exchanges)
        self._bindings = tuple(bindings)
        self._refused: dict[str, str] = {}
        self._channel: Any = None
        self._requests: Iterator[Request] = iter(())
        self.doing: Exchange | None = None
        """The exchange that is being asked for."""

    def start(self) -> None:
        """Open the channel; `done` may be called at once if there is nothing to do."""
        if self._left:
            self._connection.channel(on_open_callback=self._opened)
        else:
            self._done(self._refused)

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._closed)
        self._next_exchange()

    def _next_exchange(self) -> None:
        if self._left:
            self.doing = self._left.pop(0)
            self._requests = iter(self._requests_for(self.doing))
            self._next_request()
        else:
            self.doing = None
            self._channel.close()
            self._done(self._refused)

    def _next_request(self, _reply: Any = None) -> None:
        request = next(self._requests, None)
        if request is None:
            self._next_exchange()
        else:
            request(callback=self._next_request)

    def _requests_for(self, exchange: Exchange) -> Iterator[Request]:
        declare = self._channel.exchange_declare
        if exchange.passive:
            yield partial(declare, exchange.name, exchange.type, passive=True)
        else:
            yield partial(
                declare,
                exchange.name,
                exchange.type,
                durable=exchange.durable,
                auto_delete=exchange.auto_delete,
                internal=exchange.internal,
                arguments=dict(exchange.arguments) or None,
            )
        for binding in self._bindings:
            if binding.exchange == exchange.name:
                arguments = dict(binding.arguments) or None
                bind = self._channel.queue_bind
                yield partial(bind, self._queue, exchange.name, binding.key, arguments=arguments)

    def _closed(self, _channel: Any, error: Exception) -> None:
        if isinstance(error, pika_errors.ChannelClosedByBroker) and self.doing is not None:
            self._refused[self.doing.name] = f"{error.reply_code} {error.reply_text}"
            self.doing = None
            self.start()
