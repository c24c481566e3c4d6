"""A shop with a RabbitMQ of its own: Callboard declares nothing there but names of its own."""

import json

import pika
import pytest

pytestmark = [pytest.mark.multiprocess, pytest.mark.rabbitmq]

CONFIGURATION = """
[kazoo]
modules = []

[[modules]]
id = "order_paid"
exchange = "shop"
declare = false
bindings = ["order.*.paid"]
account = "customer"

[[modules]]
id = "absent"
exchange = "warehouse"
declare = false
bindings = ["#"]
account = "customer"

[[modules]]
id = "forbidden"
exchange = "stock"
bindings = ["#"]
account = "customer"
"""
USER = "callboard-shop"


@pytest.fixture
def limited_url(rabbitmq, amqp_url):
    """A user who may only use Callboard's names, and read one exchange."""
    vhost = pika.URLParameters(amqp_url).virtual_host
    rights = (
        '<<"^callboard[.]">>, <<"^(callboard[.].*|amq[.]default)$">>, <<"^(callboard[.].*|shop)$">>'
    )
    rabbitmq.erlang(f'rabbit_auth_backend_internal:add_user(<<"{USER}">>, <<"sesame">>, <<"t">>)')
    rabbitmq.erlang(
        f'ok = rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, <<"{vhost}">>, {rights}, '
        '<<"t">>)'
    )
    yield f"amqp://{USER}:sesame@{amqp_url.partition('@')[2]}"
    rabbitmq.erlang(f'rabbit_auth_backend_internal:delete_user(<<"{USER}">>, <<"t">>)')


def names(rabbitmq, vhost, kind):
    """The names of all exchanges or queues of the virtual host, but RabbitMQ's own exchanges."""
    module = {"exchange": "rabbit_exchange", "queue": "rabbit_amqqueue"}[kind]
    found = rabbitmq.erlang(
        f"[binary_to_list(N) || [{{name, {{resource, _, _, N}}}}] <- "
        f'{module}:info_all(<<"{vhost}">>, [name])]'
    )
    listed = json.loads(found) if found != "[]" else []
    return sorted(name for name in listed if name and not name.startswith("amq."))


def test_with_rights_on_its_own_names_and_one_exchange(
    start, receiver, rabbitmq, amqp_url, limited_url, tmp_path
):
    vhost = pika.URLParameters(amqp_url).virtual_host
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    arguments = {"alternate-exchange": "unrouted"}
    channel.exchange_declare("shop", "topic", durable=True, arguments=arguments)
    config = tmp_path / "callboard.toml"
    config.write_text(CONFIGURATION)
    system = start(config=config, amqp__url=limited_url)
    hook = system.run(
        "hooks", "add", f"{receiver.url}/paid", "--account", "acme", "--event", "order_paid"
    )
    assert hook.returncode == 0, hook.stderr
    channel.basic_publish("shop", "order.7.paid", b'{"id": 7, "customer": "acme"}')
    channel.basic_publish("shop", "order.8.sent", b'{"id": 8, "customer": "acme"}')
    channel.basic_publish("shop", "order.9.paid", b'{"id": 9}')
    (arrived,) = receiver.wait_for(1)
    assert json.loads(arrived.body) == {"id": 7, "customer": "acme"}
    of_all = ["callboard.events.changes", "callboard.events.failures", "callboard.operational"]
    # Each actor declares its own when it is connected.
    system.wait(lambda: len(names(rabbitmq, vhost, "exchange")) > len(of_all))
    assert names(rabbitmq, vhost, "exchange") == [*of_all, "shop"]
    queues = names(rabbitmq, vhost, "queue")
    assert "callboard.events" in queues
    assert [name for name in queues if not name.startswith("callboard.events")] == []
    actors = system.paths()
    assert [path for path in actors if path.startswith("responders/")] == [
        "responders/absent",
        "responders/callboard",
        "responders/forbidden",
        "responders/order_paid",
    ]
    log = system.log.read_text()
    assert "hooks_not_loaded" not in log
    assert "no_master_account_yet" not in log
    system.wait(lambda: system.node("responders/order_paid").stats.get("no_account") == 1)
    system.wait(lambda: system.node("event_bridge").stats["left_out"] == "absent,forbidden")
    order = '{"id": 9}'
    way = ("--exchange", "shop", "--routing-key", "order.9.paid")
    explained = system.run("explain", *way, input=order)
    assert explained.stdout.splitlines()[0] == "order_paid: no_account", explained.stderr
    assert "no  account   customer is absent: no account" in explained.stdout
    assert "but the module absent gets no events" in explained.stdout
    asked = json.loads(system.run("explain", *way, "--json", input=order).stdout)
    assert asked["outcomes"] == [["no_account", "order_paid"]]
    assert system.run("explain", *way, "--header", "x", input=order).returncode == 2
    status = system.wait(lambda: (ran := system.run("status")).returncode == 0 and ran)
    assert "the module absent gets no events: exchange warehouse: 404 NOT_FOUND" in status.stdout
    assert (
        "the module forbidden gets no events: exchange stock: 403 ACCESS_REFUSED" in status.stdout
    )
    doctor = system.run("doctor")
    assert doctor.returncode == 1
    for exchange in ("warehouse", "stock"):
        assert f"{exchange} cannot be had" in doctor.stdout, doctor.stdout
    connection.close()
