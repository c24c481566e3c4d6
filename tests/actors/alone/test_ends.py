"""What an actor leaves behind when it ends, in a process that goes on."""

import pytest

from callboard.actors.system.tree import tree
from callboard.config.settings import AmqpSettings, DeliverySettings, Settings
from support.descriptors import open_descriptors
from support.trees import leaves

# Without the API, whose thread ends with the process.
EVERYTHING = Settings(
    amqp=AmqpSettings(zones=("amqp://zone",)), delivery=DeliverySettings(workers=1)
)
ACTORS = {child.actor: child for child in leaves(tree(EVERYTHING))}


@pytest.mark.parametrize("child", ACTORS.values(), ids=lambda child: child.actor.__name__)
def test_an_actor_that_ends_leaves_no_descriptor_open(world, servers, settings, child):
    setup = {"module": child.args.module, "zone": child.args.zone}
    before = open_descriptors()
    ended = world.start(child.actor, child.id, settings, **setup)
    world.pass_time(1)
    world.kill(ended.address)
    assert open_descriptors() <= before
