"""Channel Answer: a channel has audio both ways (Kazoo: webhooks_channel_answer)."""

from callboard.webhooks.modules.channel import ChannelModule

MODULE = ChannelModule(
    id="channel_answer",
    name="Channel Answer",
    description="Fires when a channel is answered and audio flows both ways.",
    event_name="CHANNEL_ANSWER",
)
