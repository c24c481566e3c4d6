"""Test deliveries: sent at once and separately; the result is the response to the request."""

import time
from collections import Counter
from secrets import token_hex

from attrs import evolve, frozen

from callboard import admin
from callboard.actors.delivery.senders import Sending, Sent
from callboard.actors.delivery.transports import sending
from callboard.actors.operations.answering import Asker
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.keys.signer import Signer
from callboard.config.settings import Settings
from callboard.webhooks.deliveries.delivery import Delivery, delivery_of, new_event_id
from callboard.webhooks.deliveries.preview import preview
from callboard.webhooks.events.event import Event
from callboard.webhooks.hooks.arguments import BadArgument
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.quotas import excess
from callboard.webhooks.hooks.uris import without_user
from callboard.webhooks.retries.outcome import ClientError, Unsent
from callboard.webhooks.retries.policy import policy_named, succeeded

SAMPLES_AT_ONCE = 16
"""Of all accounts; each may have `quotas.test_deliveries`."""
TEST_HEADER = ("X-Callboard-Test", "true")


@frozen
class SampleDelivery:
    """A test delivery in flight."""

    delivery: Delivery
    to: Asker
    began: float
    attempts_made: int = 0


class SampleDeliveries:
    """Sends test deliveries as a deliverer would, with a single attempt and no record."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        signer = Signer(SecretBox(settings.secrets.key, settings.secrets_key_file))
        self._sending: Sending[SampleDelivery] = sending(settings, SAMPLES_AT_ONCE, signer)
        self._by_account: Counter[str] = Counter()

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._sending.fileno()

    def refusal(self, account_id: str, most: int) -> admin.Refused | None:
        """Why the account may begin no test delivery now. `most`: as many may be its own."""
        if (own := self._by_account[account_id]) >= most:
            had = f"the account has {own} test deliveries in progress"
            over = excess("test deliveries", "test_deliveries", most, had)
            reason = f"{over.reason}; try again in a few seconds"
            return admin.Refused(reason, "quota", over.setting)
        if not self._sending.free:
            full = "other test deliveries are in progress: try again in a few seconds"
            return admin.Refused(full, "busy")
        return None

    def begin(self, delivery: Delivery, to: Asker) -> None:
        """Send it; `ended` returns the result."""
        self._by_account[delivery.account_id] += 1
        self._sending.send(SampleDelivery(delivery, to, time.monotonic()))

    def ended(self) -> list[tuple[Asker, admin.HookTested]]:
        """Results of tests that have ended, with their requesters. Call if `fileno` is readable."""
        return [(sent.work.to, self._ended(sent)) for sent in self._sending.ended()]

    def close(self) -> None:
        """Close idle connections."""
        self._sending.close()

    def _ended(self, sent: Sent[SampleDelivery]) -> admin.HookTested:
        account_id = sent.work.delivery.account_id
        self._by_account[account_id] -= 1
        self._by_account += Counter()  # Forgets the accounts that have none in flight.
        return self._result(sent)

    def _result(self, sent: Sent[SampleDelivery]) -> admin.HookTested:
        delivery, outcome = sent.work.delivery, sent.outcome
        tested = admin.HookTested(
            hook_id=delivery.hook_id,
            method=delivery.method,
            url=without_user(delivery.url),
            request_headers=sent.headers,
            request_body=delivery.body.decode(errors="replace"),
            status=0,
            duration_s=time.monotonic() - sent.work.began,
        )
        if isinstance(outcome, Unsent):
            return evolve(tested, error="dry run", detail="not sent (delivery.dry_run)")
        if isinstance(outcome, ClientError):
            return evolve(tested, error=outcome.kind, detail=outcome.detail or "")
        policy = policy_named(delivery.options.policy or self._settings.delivery.retry_policy)
        return evolve(
            tested,
            status=outcome.status,
            response_headers=tuple(outcome.headers.items()),
            response_body=outcome.body.decode(errors="replace"),
            response_cut=outcome.cut,
            succeeded=succeeded(policy, delivery.method, outcome),
        )


def sample_delivery(hook: Hook, payload: dict[str, object]) -> Delivery:
    """The delivery of a sample payload, marked as a test; the hook's filter is not asked.

    Raises BadArgument if the hook's transform fails.
    """
    found = preview(hook, Event({}), hook.event.lower(), payload)
    if found.transform_error:
        raise BadArgument(f"the hook's transform fails for a sample: {found.transform_error}")
    return delivery_of(
        hook,
        found.content_type,
        found.body,
        id=token_hex(16),
        event_id=new_event_id(),
        added_headers=(TEST_HEADER,),
        max_attempts=1,
    )
