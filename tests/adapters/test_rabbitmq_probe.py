"""What a look at a broker finds out, and that it leaves no trace."""

import pika
import pytest
from pika import exceptions as pika_errors
from pika.adapters.utils.connection_workflow import AMQPConnectorAMQPHandshakeError

from callboard.adapters.broker.protocol import Exchange
from callboard.adapters.broker.queues import shared_queue
from callboard.adapters.broker.rabbitmq.probe import ProbeFailed, look
from services import free_port

EXCHANGES = (Exchange("callevt"), Exchange("configuration"))


def failure(url, **given):
    with pytest.raises(ProbeFailed) as failed:
        look(url, **{"queue": "events", "exchanges": EXCHANGES, "timeout_s": 30} | given)
    return failed.value


@pytest.fixture
def channel(amqp_url):
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    yield connection.channel()
    connection.close()


def exists(amqp_url, declare, name):
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    try:
        getattr(connection.channel(), declare)(name, passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    finally:
        connection.close()
    return True


@pytest.mark.rabbitmq
def test_a_broker_that_can_be_used_is_left_as_it_was(amqp_url):
    about = look(amqp_url, "events", EXCHANGES, 30)
    assert about.product == "RabbitMQ"
    assert about.version[0].isdecimal()
    assert (about.waiting, about.unlike) == (None, ())
    assert not exists(amqp_url, "queue_declare", "events")
    assert not exists(amqp_url, "exchange_declare", "callevt")


@pytest.mark.rabbitmq
def test_what_waits_and_what_is_declared_otherwise_is_told(amqp_url, channel):
    channel.queue_declare("events", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", "events", b"{}")
    channel.exchange_declare("callevt", "fanout")
    channel.exchange_declare("configuration", "topic")
    about = look(amqp_url, "events", EXCHANGES, 30)
    assert (about.waiting, about.consumers) == (1, 0)
    assert [name for name, _reason in about.unlike] == ["callevt"]


@pytest.mark.rabbitmq
def test_a_queue_of_another_kind_is_told_and_a_missing_one_is_not_made(amqp_url, channel):
    channel.queue_declare("events", durable=True)
    wanted = [shared_queue("events", "quorum"), shared_queue("others", "quorum")]
    about = look(amqp_url, "events", EXCHANGES, 30, wanted)
    ((name, reason),) = about.unlike_queues
    assert (name, "x-queue-type" in reason) == ("events", True)
    assert not exists(amqp_url, "queue_declare", "others")
    assert look(amqp_url, "events", (), 30, [shared_queue("events", "classic")]).unlike_queues == ()


@pytest.mark.rabbitmq
def test_an_alarm_is_told(amqp_url, rabbitmq):
    assert not look(amqp_url, "events", EXCHANGES, 30).blocked
    rabbitmq.block_publishers()
    try:
        assert look(amqp_url, "events", EXCHANGES, 30).blocked
    finally:
        rabbitmq.unblock_publishers()


@pytest.mark.rabbitmq
def test_credentials_and_virtual_host_are_told_apart(amqp_url):
    place = amqp_url.partition("@")[2]
    assert failure(f"amqp://guest:sesame@{place}").stage == "credentials"
    elsewhere = amqp_url.rpartition("/")[0]
    assert failure(f"{elsewhere}/no-such-vhost").stage == "vhost"


@pytest.mark.rabbitmq
def test_rights_that_are_missing_are_told(rabbitmq, amqp_url):
    vhost = pika.URLParameters(amqp_url).virtual_host
    rabbitmq.erlang(
        "ok = rabbit_auth_backend_internal:set_permissions("
        f'<<"guest">>, <<"{vhost}">>, <<"^$">>, <<".*">>, <<".*">>, <<"test">>)'
    )
    try:
        assert failure(amqp_url).stage == "permissions"
    finally:
        rabbitmq.erlang(
            "ok = rabbit_auth_backend_internal:set_permissions("
            f'<<"guest">>, <<"{vhost}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>)'
        )


@pytest.mark.rabbitmq
def test_of_several_brokers_the_first_that_responds_is_looked_at(amqp_url):
    away = f"amqp://user:sesame@127.0.0.1:{free_port()}/"
    assert look(f"{away},{amqp_url}", "events", (), 5).product == "RabbitMQ"
    assert failure(f"{away},{away}", timeout_s=5).stage == "address"
    assert failure(f"{amqp_url},amqp://host:port/").stage == "url"


def test_nobody_there_and_no_url():
    refused = failure(f"amqp://user:sesame@127.0.0.1:{free_port()}/", timeout_s=5)
    assert refused.stage == "address"
    assert "sesame" not in str(refused)
    assert failure("amqp://host:port/").stage == "url"


def test_somebody_who_never_answers(receiver):
    refused = failure(f"amqp://127.0.0.1:{receiver.port}/", timeout_s=0.5)
    assert refused.stage in ("address", "protocol")


REFUSED = pika_errors.ConnectionClosedByBroker(530, "NOT_ALLOWED - vhost v not found")
WORKFLOW = AMQPConnectorAMQPHandshakeError(OSError(113, "No route to host"))


@pytest.mark.parametrize(
    ("error", "stage", "words"),
    [
        (
            pika_errors.ProbableAuthenticationError("ACCESS_REFUSED"),
            *("credentials", "ACCESS_REFUSED"),
        ),
        (pika_errors.AuthenticationError("PLAIN"), "credentials", "PLAIN"),
        (
            pika_errors.ProbableAccessDeniedError(REFUSED),
            "vhost",
            "NOT_ALLOWED - vhost v not found",
        ),
        (REFUSED, "vhost", "NOT_ALLOWED - vhost v not found"),
        (OSError("no route"), "address", "no route"),
        (OSError(), "address", "OSError"),
        (pika_errors.AMQPConnectionError(WORKFLOW), "address", "[Errno 113] No route to host"),
        (pika_errors.AMQPConnectionError(TimeoutError()), "address", "TimeoutError"),
        (WORKFLOW, "address", "[Errno 113] No route to host"),
    ],
)
def test_what_ends_a_connection_is_said_with_the_step(monkeypatch, error, stage, words):
    def refuse(_parameters):
        raise error

    monkeypatch.setattr(pika, "BlockingConnection", refuse)
    with pytest.raises(ProbeFailed) as failed:
        look("amqp://a/v", "events", (), 1.0)
    assert (failed.value.stage, str(failed.value)) == (stage, words)


def test_a_file_of_a_url_that_is_missing_is_said_with_the_step():
    with pytest.raises(ProbeFailed, match=r"^TLS: ") as failed:
        look("amqps://a?cacertfile=/no/such/file", "events", (), 1.0)
    assert failed.value.stage == "tls"
