"""Channel Bridge: two channels were joined (Kazoo: webhooks_channel_bridge)."""

from callboard.webhooks.modules.channel import ChannelModule

MODULE = ChannelModule(
    id="channel_bridge",
    name="Channel Bridge",
    description="Fires when two channels are joined, so that the parties hear each other.",
    event_name="CHANNEL_BRIDGE",
    extra_texts=(("other_leg_destination_number", "Other-Leg-Destination-Number"),),
    extra_ccv_texts=(("original_number", "Original-Number"),),
)
