"""No message is held for RabbitMQ's consumer_timeout, for which it would end the consumer."""

import json
from collections import Counter

import pytest

from callboard.adapters.receiver.server import Answer
from support.bus import publish_durably
from support.patience import patient
from support.running import call_event

pytestmark = [pytest.mark.multiprocess, pytest.mark.faults, pytest.mark.rabbitmq]

TIMEOUT_S = 3.0
OTHER = f"{7:032x}"
RATE, LIMITED, ORDERED = 0.5, 3, 3
WAIT_S = 4


def test_what_waits_for_its_rate_order_or_retry_does_not_end_the_consumer(
    start, receiver, rabbitmq, amqp_url
):
    timeout_s = patient(TIMEOUT_S)
    attempts, before = Counter(), len(rabbitmq.said)

    def fail_first(request):
        attempts[json.loads(request.body)["call_id"]] += 1
        if attempts.total() == 1:
            return Answer(503, headers={"Retry-After": str(round(patient(WAIT_S)))})
        return Answer(200)

    receiver.answer("/ordered", fail_first)
    with rabbitmq.consumer_timeout(timeout_s):
        system = start(
            amqp__url=amqp_url,
            amqp__consumer_timeout_s=round(timeout_s),
            delivery__request_timeout_ms=round(timeout_s * 100),
            delivery__retry_policy="standard",
            disabler__enabled="false",
        )
        system.add_hook(f"{receiver.url}/limited", rate_limit=RATE / patient(1))
        system.add_hook(f"{receiver.url}/ordered", account=OTHER, ordered=True, format="json")
        system.wait_hooks(2)
        publish_durably(amqp_url, [call_event(number) for number in range(LIMITED)])
        publish_durably(amqp_url, [call_event(number, account=OTHER) for number in range(ORDERED)])
        receiver.wait_for(LIMITED + ORDERED + 1, 10 * timeout_s)
        calls = [json.loads(r.body)["call_id"] for r in receiver.requests if r.path == "/ordered"]
        assert calls == [f"call-{number}@switch" for number in (0, *range(ORDERED))]
        first, last = receiver.requests[0], receiver.requests[-1]
        assert last.time - first.time > timeout_s
    assert "delivery acknowledgement" not in rabbitmq.said[before:]
