"""Channel Destroy: a channel was destroyed (Kazoo: webhooks_channel_destroy)."""

from callboard.webhooks.modules.channel import ChannelModule

# Kazoo counts CHANNEL_DISCONNECTED, a channel whose switch was lost, as a destroyed one, but binds
# no queue to it; it arrives only if an operator has bound it.
MODULE = ChannelModule(
    id="channel_destroy",
    name="Channel Destroy",
    description="Fires when a channel ends.",
    event_name="CHANNEL_DESTROY",
    alike=("CHANNEL_DISCONNECTED",),
    extra_texts=(("hangup_cause", "Hangup-Cause"), ("hangup_code", "Hangup-Code")),
    extra_integers=(
        ("duration_seconds", "Duration-Seconds"),
        ("ringing_seconds", "Ringing-Seconds"),
        ("billing_seconds", "Billing-Seconds"),
    ),
)
