"""SMS: a text message arrived from a carrier (Kazoo: webhooks_sms)."""

from callboard.webhooks.modules.inbound_message import InboundMessageModule

MODULE = InboundMessageModule(
    id="sms",
    name="SMS",
    description="Fires when a text message arrives from outside.",
)
