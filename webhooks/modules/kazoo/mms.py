"""MMS: a multimedia message arrived from a carrier (Kazoo: webhooks_mms)."""

from callboard.webhooks.modules.inbound_message import InboundMessageModule

# Published with a gzip body, which is decompressed when events are parsed; `body` is MIME text.
MODULE = InboundMessageModule(
    id="mms",
    name="MMS",
    description="Fires when a multimedia message arrives from outside.",
)
