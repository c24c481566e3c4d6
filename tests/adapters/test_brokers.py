import pytest

from callboard.adapters.broker.brokers import connect, relocate
from callboard.adapters.broker.embedded.connection import EmbeddedConnection
from callboard.adapters.broker.protocol import BrokerError, Topology
from callboard.adapters.broker.rabbitmq.connection import AmqpConnection
from callboard.adapters.broker.urls import mask_url
from services import free_port


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", EmbeddedConnection),
        ("amqp://localhost", AmqpConnection),
        ("AMQP://guest:guest@[::1]:5673/%2Fkazoo?heartbeat=5", AmqpConnection),
        ("amqps://user:pa%40ss@rabbit.example.org/kazoo", AmqpConnection),
    ],
)
def test_the_scheme_decides(tmp_path, url, kind):
    assert isinstance(connect(url, Topology(), tmp_path), kind)


@pytest.mark.parametrize("scheme", ["amqp", "AMQP"])
def test_messages_are_relocated_where_the_url_says(tmp_path, scheme):
    with pytest.raises(BrokerError, match="refused"):
        relocate(f"{scheme}://127.0.0.1:{free_port()}/", tmp_path, ["q"], bool, list, 5.0)
    assert relocate("MEMORY://", tmp_path, ["q"], bool, list, 5.0) == 0


def test_connecting_touches_nothing_before_open(tmp_path):
    connect("memory://", Topology(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "amqp:",
        "http://user:SECRET@host",
        "redis://:SECRET@host",
        "amqp://user:SEC/RET@host",
        "amqp://user:SECRET@host/vhost?heartbeet=1",
        "amqp://user:SECRET@host:port/",
        "amqp://user@host/",
    ],
)
def test_other_urls_are_refused_without_telling_the_password(tmp_path, url):
    with pytest.raises(BrokerError) as error:
        connect(url, Topology(), tmp_path)
    assert "SEC" not in str(error.value)
    assert "RET" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("amqp://guest:guest@host:5672/%2F", "amqp://guest:***@host:5672/%2F"),
        ("amqp://:p@host", "amqp://:***@host"),
        ("amqp://user:a:b@c/d@host/v", "amqp://user:***@host/v"),
        ("amqp://user@host", "amqp://user@host"),
        ("amqp://host:5672/v", "amqp://host:5672/v"),
        ("memory://", "memory://"),
        ("amqp://u:p@a/v,amqps://u:q,@b/v", "amqp://u:***@a/v,amqps://u:***@b/v"),
    ],
)
def test_mask_url(url, masked):
    assert mask_url(url) == masked
