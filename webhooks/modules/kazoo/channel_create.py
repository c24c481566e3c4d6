"""Channel Create: a channel was created (Kazoo: webhooks_channel_create)."""

from callboard.webhooks.modules.channel import ChannelModule

MODULE = ChannelModule(
    id="channel_create",
    name="Channel Create",
    description="Fires when a channel is created for a call leg.",
    event_name="CHANNEL_CREATE",
)
