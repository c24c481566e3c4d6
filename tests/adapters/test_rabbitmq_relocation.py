"""Moving messages between queues, without a broker: how long it may take, and who it says it is."""

import pika
import pytest

from callboard.adapters.broker.protocol import BrokerError
from callboard.adapters.broker.rabbitmq.relocation import relocate


class Connection:
    """Of a broker whose queues hold nothing. `timers`: the seconds of each."""

    def __init__(self, parameters):
        self.parameters, self.timers, self.is_open = parameters, [], True
        self._impl = self

    def _adapter_call_later(self, seconds, _call):
        self.timers.append(seconds)

    def channel(self):
        raise pika.exceptions.ChannelClosed(404, "NOT_FOUND")

    def close(self):
        self.is_open = False


@pytest.mark.parametrize(("within_s", "connect_s"), [(100.0, 2.0), (4.0, 1.0)])
def test_brokers_share_half_of_the_time_for_connecting(monkeypatch, within_s, connect_s):
    made = []

    def connection(parameters):
        made.append(Connection(parameters))
        return made[0]

    monkeypatch.setattr(pika, "BlockingConnection", connection)
    with pytest.raises(BrokerError, match="messages could not be moved"):
        relocate("amqp://a/v,amqp://b/v", ["q"], lambda _: True, lambda _: [], within_s)
    for each in made[0].parameters:
        assert (each.connection_attempts, each.blocked_connection_timeout) == (1, within_s)
        assert each.socket_timeout == each.stack_timeout == connect_s
        assert each.client_properties["connection_name"] == "callboard upgrade"
        assert each.client_properties["product"] == "Callboard"
    assert [each.host for each in made[0].parameters] == ["a", "b"]
    (timer_s,) = made[0].timers
    assert max(0.0, within_s - 1) <= timer_s <= within_s
    assert not made[0].is_open
