import json

from callboard.actors.hooks.change_publisher import ChangePublisher
from callboard.adapters.broker.protocol import BrokerError
from callboard.adapters.repositories.maintenance import Change


class Outbox:
    """A broker connection that only takes down what is to be published."""

    def __init__(self):
        self.keys = []
        self.messages = []

    def publish(self, message):
        if len(message.routing_key) > 255:
            raise BrokerError("a routing key has 255 bytes at most")
        self.messages.append(message)
        self.keys.append(message.routing_key)
        return len(self.keys)


def change(id, database="webhooks"):
    document = {"_id": id, "_rev": "2-a", "pvt_type": "webhook", "pvt_account_id": "a" * 32}
    return Change("doc_edited", database, document)


def test_a_change_is_published_as_kazoos_data_layer_does():
    outbox = Outbox()
    ChangePublisher(outbox, "node@host").publish([change("h1")])
    (message,) = outbox.messages
    assert (message.exchange, message.routing_key) == (
        "configuration",
        "doc_edited.webhooks.webhook.h1",
    )
    assert message.properties.content_type == "application/json"
    body = json.loads(message.body)
    assert (body["ID"], body["Account-ID"], body["Node"]) == ("h1", "a" * 32, "node@host")


def test_what_did_not_arrive_is_sent_again_once_the_broker_is_up():
    outbox = Outbox()
    publisher = ChangePublisher(outbox, "node@host")
    publisher.publish([change("h1"), change("h2"), change("h3")])
    publisher.arrived([1])
    publisher.lost([2, 3, 99])
    assert len(publisher) == 2
    publisher.broker_is_up()
    assert outbox.keys[3:] == ["doc_edited.webhooks.webhook.h2", "doc_edited.webhooks.webhook.h3"]
    publisher.arrived([4, 5])
    assert len(publisher) == 0


def test_memory_is_bounded_while_the_broker_is_away():
    """The latest 10,000 are kept."""
    outbox = Outbox()
    publisher = ChangePublisher(outbox, "node@host")
    publisher.publish(change(f"h{number}") for number in range(10_002))
    publisher.lost(range(1, 10_003))
    assert len(publisher) == 10_000
    publisher.broker_is_up()
    assert outbox.keys[10_002].endswith(".h2")


def test_the_key_of_a_long_id_is_cut_to_what_amqp_can_carry():
    outbox = Outbox()
    publisher = ChangePublisher(outbox, "node@host")
    publisher.publish([change("h" * 300), change("h1")])
    long, short = outbox.keys
    assert long == ("doc_edited.webhooks.webhook." + "h" * 300)[:255]
    assert short == "doc_edited.webhooks.webhook.h1"
