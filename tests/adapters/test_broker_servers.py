"""Which broker of a cluster a connection uses, and when: without a broker."""

import pytest

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.protocol import BrokerError
from callboard.adapters.broker.rabbitmq.servers import CONSUME_S, NEXT_S, Servers
from callboard.adapters.broker.urls import each_url, in_any_order, places

THREE = "amqp://a/v,amqp://u:p,@b:1/v,amqps://c/v"
FAILED, LASTED = 0.0, 100.0


def servers(urls=THREE, heartbeat_s=4):
    return Servers(urls, Backoff(first_s=1.0, longest_s=8.0), "here", heartbeat_s)


def hosts(tried, times, lasted_s=FAILED, **options):
    found = []
    for _ in range(times):
        found.append(tried.parameters().host)
        tried.pause_s(lasted_s, **options)
    return found


def test_the_urls_of_a_cluster_are_one_text():
    assert each_url(THREE) == ("amqp://a/v", "amqp://u:p,@b:1/v", "amqps://c/v")
    assert each_url("memory://") == ("memory://",)
    assert places(THREE) == "a/v, b:1/v, amqps://c/v".replace("a/v", "amqp://a/v", 1)


def test_a_random_order_has_each_broker_once():
    orders = {in_any_order(THREE) for _ in range(200)}
    assert len(orders) == 6
    assert {tuple(sorted(each_url(order))) for order in orders} == {tuple(sorted(each_url(THREE)))}


def test_the_brokers_take_turns_in_their_order():
    assert hosts(servers(), 5) == ["a", "b", "c", "a", "b"]
    assert hosts(servers(), 4, LASTED) == ["a", "b", "c", "a"]


def test_an_end_that_was_wanted_does_not_begin_the_next_turn():
    assert hosts(servers(), 3, LASTED, wanted=True) == ["a", "a", "a"]


def test_pauses_grow_once_all_have_failed():
    tried = servers()
    assert 0.5 <= tried.pause_s(LASTED) <= 1.0  # of the backoff, at first
    pauses = [tried.pause_s(FAILED) for _ in range(9)]
    within, all_failed = [p for i, p in enumerate(pauses) if i % 3 != 2], pauses[2::3]
    assert all(NEXT_S / 2 <= pause <= NEXT_S for pause in within)
    for pause, longest in zip(all_failed, (2.0, 4.0, 8.0), strict=True):
        assert longest / 2 <= pause <= longest


def test_with_one_broker_each_failure_lengthens_the_pause():
    tried = servers("amqp://a")
    for longest in (1.0, 2.0, 4.0, 8.0, 8.0):
        assert longest / 2 <= tried.pause_s(FAILED) <= longest


def test_one_that_does_not_respond_holds_up_the_others_for_a_heartbeat_at_most():
    one, several = servers("amqp://a").parameters(), servers().parameters()
    assert (one.socket_timeout, one.stack_timeout) == (10, 15)
    assert (several.socket_timeout, several.stack_timeout, several.heartbeat) == (4, 4, 4)
    own = servers("amqp://a?heartbeat=3&stack_timeout=9,amqp://b").parameters()
    assert (own.heartbeat, own.socket_timeout, own.stack_timeout) == (3, 3, 9)
    unknown = servers(heartbeat_s=None).parameters()
    assert (unknown.socket_timeout, unknown.stack_timeout) == (10, 15)


def test_a_consumer_waits_longer_after_each_failure():
    tried = servers()
    assert tried.consume_s(60) == CONSUME_S
    tried.pause_s(FAILED)
    assert (tried.consume_s(60), tried.consume_s(1.5)) == (2 * CONSUME_S, 1.5)
    for _ in range(2000):
        tried.pause_s(FAILED)
    assert tried.consume_s(60) == 60
    tried.pause_s(LASTED)
    assert tried.consume_s(60) == CONSUME_S


def test_one_unusable_url_is_enough():
    with pytest.raises(BrokerError) as error:
        servers("amqp://a,amqp://u:SECRET@b:port")
    assert "SECRET" not in str(error.value)


def test_a_consumer_is_waited_for_twice_as_long_after_each_failure():
    tried = servers("amqp://a")
    found = []
    for _failure in range(7):
        found.append(tried.consume_s(30.0))
        tried.pause_s(FAILED)
    assert found == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    for _failure in range(5000):  # as in a night without a broker
        tried.pause_s(FAILED)
    assert tried.consume_s(30.0) == 30.0
    tried.pause_s(LASTED)
    assert tried.consume_s(30.0) == 1.0


def test_the_connection_says_who_it_is():
    said = servers().parameters().client_properties
    assert (said["connection_name"], said["product"]) == ("here", "Callboard")


def test_the_certificate_is_that_of_the_host_or_of_the_given_name():
    def name(url):
        return servers(url).parameters().ssl_options.server_hostname

    assert name("amqps://c/v") == "c"
    assert name("amqps://c/v?server_name_indication=rabbit.internal") == "rabbit.internal"


def test_an_unusable_url_shows_the_form():
    with pytest.raises(BrokerError) as error:
        servers("amqp://b:port")
    assert str(error.value) == (
        "not a usable AMQP URL (expected amqp://user:password@host:port/vhost?option=value)"
    )


def test_the_pauses_of_a_node_grow_from_a_tenth_of_a_second_to_ten_seconds():
    backoff = Backoff()
    pauses = [backoff.pause_s(FAILED) for _ in range(12)]
    for pause, longest in zip(
        pauses, (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, *[10.0] * 5), strict=True
    ):
        assert longest / 2 <= pause <= longest
    # One that lasted for longer than the pause before it begins anew, and no other.
    assert backoff.pause_s(10.0) >= 5.0
    assert backoff.pause_s(10.1) <= 0.1
