"""Names that guides and `callboard modules new` once told people to import still serve."""

import importlib

import pytest

import callboard.adapters.local.sealed_transport as sealed_transport
from callboard.adapters import receiver
from callboard.webhooks import modules


@pytest.mark.parametrize(
    ("module", "names", "room"),
    [
        ("callboard.webhooks.event", "Event PoisonEvent", modules),
        ("callboard.webhooks.directory", "Account Directory", modules),
        ("callboard.webhooks.module", "EventExchange EventModule Firing", modules),
        ("callboard.webhooks.selection", "by_custom_data", modules),
        ("callboard.adapters.receiver", "ReceivedRequest Receiver", receiver),
        ("callboard.adapters.listener", "Listener", receiver),
        ("callboard.adapters.misbehaviour", "Always AtFirst Misbehaviour Sometimes", receiver),
        ("callboard.adapters.sealed_transport", "seal", sealed_transport),
    ],
)
def test_a_former_name_is_the_same_thing(module, names, room):
    former = importlib.import_module(module)
    for name in names.split():
        assert getattr(former, name) is getattr(room, name)
