"""What an earlier version left for ordered hooks is in their queues before anything else is."""

import time
from types import SimpleNamespace

import pytest
import structlog
from attrs import evolve

from callboard.actors.base.role import Setup
from callboard.actors.delivery.earlier_deliveries import take_over
from callboard.actors.delivery.ordered_queues import delay_queue, message_for
from callboard.actors.delivery.retry_queue import RetryQueue, topology
from callboard.adapters.broker import brokers
from callboard.adapters.broker.protocol import Confirmed
from callboard.config.settings import AmqpSettings, DataSettings, Settings
from callboard.supervision import ChildSpec, SupervisorSpec
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.retries.retry_message import RetryMessage, as_json
from services.driver import Driver
from support.trees import SIMPLE, Tree

URL = "https://x.example/"
LEFT = 3


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def settings(request, tmp_path):
    url = "memory://" if request.param == "memory" else request.getfixturevalue("amqp_url")
    return Settings(amqp=AmqpSettings(url=url), data=DataSettings(dir=tmp_path))


def leave_behind(settings):
    """Defer deliveries of an ordered hook as the earlier version did: for minutes."""
    due_ms = int(time.time() * 1000) + 600_000
    connection = brokers.connect(settings.amqp.url, topology(settings), settings.data.dir)
    driver = Driver(connection).up()
    for number in range(LEFT):
        delivery = Delivery(f"d{number}", "e", "h", "a", "all", URL, "POST", URL, (), b"{}")
        delivery = evolve(delivery, options=Options(ordered=True))
        item = RetryMessage(delivery, 1, due_ms, ("10m",))
        driver.connection.publish(message_for(delay_queue(settings, "10m"), item, as_json(item)))
    driver.until(lambda: sum(len(each.publish_ids) for each in driver.of(Confirmed)) == LEFT)
    driver.connection.close()


def begun(settings, until):
    """Run a retry queue until its figures are so; its start was reported before it connected."""
    opened = []

    class Watched(RetryQueue):
        def announce_ready(self):
            opened.append(self.broker_is_open)
            super().announce_ready()

        broker_is_open = False

        def _open_broker(self, first=None):
            super()._open_broker(first)
            self.broker_is_open = True

    child = ChildSpec("retry_queue", Watched, Setup(settings))
    tree = Tree(SIMPLE, SupervisorSpec((child,)))
    try:
        return tree.wait(lambda found: until(found.at("retry_queue").stats)), opened
    finally:
        tree.close()


def test_the_deliveries_of_an_ordered_hook_are_in_its_queue_when_the_retry_queue_connects(settings):
    leave_behind(settings)
    _tree, opened = begun(settings, lambda stats: stats.get("in_order") == LEFT)
    assert opened == [False]
    # It is done once: then the queue is known from the file.
    begun(settings, lambda stats: stats.get("in_order") == LEFT)


def test_that_it_is_done_is_remembered_also_if_there_was_nothing(tmp_path):
    used = []
    file = SimpleNamespace(used=lambda: used.append(True))
    settings = Settings(amqp=AmqpSettings(url="memory://"), data=DataSettings(dir=tmp_path))
    take_over(settings, file, None, structlog.get_logger())
    assert used == [True]
