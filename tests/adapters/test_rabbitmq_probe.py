"""What a look at a broker finds out, and that it leaves no trace."""

import re
import ssl

import pika
import pytest
from pika import exceptions as pika_errors
from pika import spec
from pika.adapters.utils.connection_workflow import AMQPConnectorAMQPHandshakeError

from callboard.adapters.broker.protocol import Exchange, Queue
from callboard.adapters.broker.queues import shared_queue
from callboard.adapters.broker.rabbitmq.probe import BrokerAbout, ProbeFailed, look
from services import free_port
from support.amqp_peer import AmqpPeer

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


def closing(code, *names, text="no"):
    """Answers that refuse the requests about these names, and take all others."""

    def answer(method):
        name = getattr(method, "exchange", None) or getattr(method, "queue", None)
        return [spec.Channel.Close(code, f"{text} {name}", 0, 0)] if name in names else None

    return answer


@pytest.fixture
def peer():
    peer = AmqpPeer()
    peer.answers["Basic.Publish"] = lambda _method: [spec.Basic.Ack(1)]
    with peer.in_a_thread():
        yield peer
    peer.close()


def seen(peer, *names):
    """The requests of these kinds: name, object, passive, and how it is declared."""
    found = []
    for link in peer.links:
        for method in (method for _channel, method in link.asked if method.NAME in names):
            about = vars(method)
            name = about.get("exchange") or about["queue"]
            found.append((method.NAME, re.sub("-[0-9a-f]{8}$", "-…", name), about))
    return found


def test_all_that_is_there_is_declared_as_it_is(peer):
    peer.answers["Queue.Declare"] = lambda m: [spec.Queue.DeclareOk(m.queue, 7, 2)]
    exchanges = (
        Exchange("others", passive=True),
        Exchange("callevt", "direct", True, True, True, {"x-a": 1}),
    )
    queues = [
        Queue("own.", durable=False, exclusive=True),
        Queue("due", auto_delete=True, arguments={"x-b": 2}),
    ]
    about = look(peer.url, "events", exchanges, 5, queues)
    assert about == BrokerAbout("RabbitMQ", "3.10.8", 7, 2, ())
    asked = seen(peer, "Queue.Declare", "Exchange.Declare", "Exchange.Delete", "Queue.Delete")
    assert [(kind, name, each.get("passive", False)) for kind, name, each in asked] == [
        ("Queue.Declare", "events", True),
        ("Exchange.Declare", "others", True),
        ("Exchange.Declare", "callevt", True),
        ("Exchange.Declare", "callevt", False),
        ("Queue.Declare", "due", True),
        ("Queue.Declare", "due", False),
        ("Queue.Declare", "events.doctor-…", False),
        ("Queue.Declare", "events.doctor-…", False),
        ("Queue.Delete", "events.doctor-…", False),
    ]
    exchange, due, mine = asked[3][2], asked[5][2], asked[6][2]
    flags = ("durable", "auto_delete", "internal", "exclusive")
    assert [exchange[name] for name in flags[:3]] == [True, True, True]
    assert (exchange["type"], exchange["arguments"]) == ("direct", {"x-a": 1})
    assert [due[name] for name in ("durable", "auto_delete", "exclusive")] == [True, True, False]
    assert due["arguments"] == {"x-b": 2}
    assert [mine[name] for name in ("durable", "auto_delete", "exclusive")] == [False, True, True]
    ((method, _properties, body),) = peer.links[0].published
    assert (method.exchange, method.routing_key, body) == ("", "amq.callboard.probe", b"?")
    assert peer.links[0].names().count("Channel.Open") == 6


def test_what_is_missing_is_not_made_but_one_queue_of_each_kind_is_tried(peer):
    peer.answers["Exchange.Declare"] = closing(404, "callevt", "others", text="NOT_FOUND")
    missing = ("events", "a", "b", "c", "d")
    peer.answers["Queue.Declare"] = closing(404, *missing, text="NOT_FOUND")
    queues = [
        Queue("a", arguments={"x-message-ttl": 1, "x-expires": 5}),
        Queue("b", arguments={"x-message-ttl": 2, "x-expires": 6}),
        Queue("c", arguments={"x-queue-type": "quorum"}),
        Queue("d", auto_delete=True),
        Queue("own.", durable=False, exclusive=True),
    ]
    exchanges = (Exchange("others", passive=True), Exchange("callevt"))
    about = look(peer.url, "events", exchanges, 5, queues)
    assert about == BrokerAbout("RabbitMQ", "3.10.8", None, 0, (("others", "NOT_FOUND others"),))
    (deleted,) = seen(peer, "Exchange.Delete")
    assert (deleted[1], deleted[2]["if_unused"]) == ("callevt", True)
    tried = [
        (each["durable"], each["exclusive"], each["auto_delete"], each["arguments"])
        for kind, name, each in seen(peer, "Queue.Declare")
        if name == "events.doctor-…"
    ]
    assert sorted(tried[1:], key=str) == [
        (False, True, False, {"x-expires": 60_000}),
        (True, False, False, {"x-expires": 5, "x-message-ttl": 1}),
        (True, False, False, {"x-expires": 60_000, "x-queue-type": "quorum"}),
        (True, False, True, {"x-expires": 60_000}),
    ]
    assert [name for _, name, _ in seen(peer, "Queue.Delete")] == ["events.doctor-…"] * 4
    assert len(peer.links) == 5
    assert all(link.said_goodbye for link in peer.links)


def test_a_broker_that_says_nothing_of_itself(peer):
    peer.about = {"capabilities": {"publisher_confirms": True, "basic.nack": True}}
    about = look(peer.url, "events", (), 5)
    assert (about.product, about.version) == ("an AMQP broker", "")


def test_a_broker_is_tried_once_whatever_its_url_says(peer):
    refuse = [spec.Connection.Close(530, "NOT_ALLOWED - vhost v not found", 10, 40)]
    peer.answers["Connection.Open"] = lambda _method: refuse
    options = "connection_attempts=3&retry_delay=0"
    assert failure(f"{peer.url}?{options}", timeout_s=5).stage == "vhost"
    assert len(peer.links) == 1


def test_differences_are_said_and_kinds_that_are_refused(peer):
    def queue(method):
        if method.passive and method.queue == "new":
            return [spec.Channel.Close(404, "NOT_FOUND", 50, 10)]
        if method.arguments.get("x-queue-type") == "stream":
            return [spec.Connection.Close(541, "INTERNAL_ERROR", 50, 10)]
        differs = method.queue == "due" and not method.passive
        return [spec.Channel.Close(406, "inequivalent", 50, 10)] if differs else None

    def exchange(method):
        differs = method.exchange == "callevt" and not method.passive
        return [spec.Channel.Close(406, "unlike", 40, 10)] if differs else None

    peer.answers |= {"Queue.Declare": queue, "Exchange.Declare": exchange}
    new = Queue("new", arguments={"x-queue-type": "stream"})
    queues = [Queue("due"), Queue("same"), new]
    about = look(peer.url, "events", (Exchange("callevt"), Exchange("more")), 5, queues)
    assert about.unlike == (("callevt", "unlike"),)
    assert about.unlike_queues == (("due", "inequivalent"),)
    assert about.refused == ((new, "541 INTERNAL_ERROR"),)


@pytest.mark.parametrize(
    ("request_of", "names"),
    [
        ("Queue.Declare", ("events",)),
        ("Exchange.Delete", ("callevt",)),
        ("Basic.Publish", ("",)),
    ],
)
def test_each_right_that_is_missing_is_said(peer, request_of, names):
    peer.answers["Exchange.Declare"] = closing(404, "callevt")
    refuse = [spec.Channel.Close(403, "ACCESS_REFUSED", 0, 0)]
    if request_of == "Basic.Publish":
        peer.answers[request_of] = lambda _method: refuse
    else:
        peer.answers[request_of] = closing(403, *names, text="ACCESS_REFUSED")
    failed = failure(peer.url, timeout_s=5)
    assert (failed.stage, str(failed).split()[0]) == ("permissions", "ACCESS_REFUSED")


def test_a_queue_of_one_s_own_that_is_refused_is_a_missing_right(peer):
    def answer(method):
        return [spec.Channel.Close(403, "NO", 0, 0)] if method.exclusive else None

    peer.answers["Queue.Declare"] = answer
    failed = failure(peer.url, timeout_s=5)
    assert (failed.stage, str(failed)) == ("permissions", "NO")


def test_an_optional_exchange_that_is_refused_is_a_difference(peer):
    peer.answers["Exchange.Declare"] = closing(403, "maybe", text="ACCESS_REFUSED")
    peer.answers["Exchange.Delete"] = closing(403, "maybe", text="ACCESS_REFUSED")
    about = look(peer.url, "events", (Exchange("maybe", optional=True),), 5)
    assert about.unlike == (("maybe", "ACCESS_REFUSED maybe"),)


def test_a_broker_that_blocks_the_probe_is_one_with_an_alarm(peer):
    peer.answers["Basic.Publish"] = lambda _method: [spec.Connection.Blocked("low on disk")]
    about = look(peer.url, "events", (), 0.2)
    assert (about.blocked, about.refused) == (True, ())


def test_a_connection_that_is_lost_meanwhile(peer):
    end = [spec.Connection.Close(320, "CONNECTION_FORCED", 0, 0)]
    peer.answers["Queue.Declare"] = lambda _method: end
    failed = failure(peer.url, timeout_s=5)
    assert failed.stage == "protocol"
    assert "CONNECTION_FORCED" in str(failed)


def test_the_doctor_says_who_it_is(peer):
    told = []
    peer.answers["Connection.StartOk"] = told.append
    look(peer.url, "events", (), 5)
    assert told[0].client_properties["connection_name"] == "callboard doctor"
    assert told[0].client_properties["product"] == "Callboard"


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
        (
            pika_errors.AMQPConnectionError(ssl.SSLError("wrong version number")),
            *("tls", "TLS: the port does not speak TLS"),
        ),
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
