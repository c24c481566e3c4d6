"""When a delivery is retried: the policies `kazoo` and `standard`, and the pauses of deferrals."""

import calendar
import math
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_tz
from functools import lru_cache
from itertools import accumulate
from typing import Any

from attrs import Attribute, evolve, field, frozen

from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.hooks.options import KAZOO, POLICIES, STANDARD, Options, Ranges
from callboard.webhooks.retries.delay_classes import one_wait
from callboard.webhooks.retries.outcome import Done, GiveUp, Outcome, Response, Retry
from callboard.webhooks.values.endpoint_options import NO_GRANTS, Grants
from callboard.webhooks.values.json_values import is_true

STANDARD_STEPS_S = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h (the example of Standard Webhooks)."""

KAZOO_PAUSE_MS = 2000
"""Kazoo's fixed pause before a retry."""

LEAST_PAUSE_S = 1.0
LEAST_PART = 0.1
MAX_RETRY_AFTER_S = 86_400

FIRST_DEFERRAL_S = 5.0
MAX_DEFERRAL_S = 600.0
LONGEST_ROUND_S = 660.0
"""The longest pause of a deferral, including the lateness of its waits (delay_classes.py)."""

GONE = 410
LOOP_DETECTED = 508
"""Our own API refuses an event that goes round (RFC 5842, 7.2; modules/hops.py)."""
_HONOURS_RETRY_AFTER = frozenset({429, 503, *range(300, 400)})
_SECONDS = re.compile(r"[0-9]+")

Random = Callable[[], float]
"""A number from 0 to below 1, like `random.random`."""


def _positive_steps(_policy: Any, _field: "Attribute[Any]", steps_s: tuple[float, ...]) -> None:
    for step in steps_s:
        if not math.isfinite(step) or step <= 0:
            raise ValueError(f"retry step {step!r} is no number of seconds above 0")


@frozen
class KazooPolicy:
    """Kazoo's rule (webhooks_util): only attempts without a response are retried, after 2 s.

    The hook sets the number of attempts. Success is 200, and 201 to a PUT; or the statuses in
    `success`, if there are any.
    """

    pause_ms: int = KAZOO_PAUSE_MS
    success: Ranges = ()


@frozen
class StandardPolicy:
    """The usual rule among webhook senders: everything but success is retried, for days.

    `steps_s`: the longest pause after the first attempt, after the second, and so on; there is one
    more attempt than steps. Success is any 2xx, or the statuses in `success`, if there are any.
    A status in `give_up` ends the delivery; 410 Gone ends it and disables the hook.
    """

    steps_s: tuple[float, ...] = field(default=STANDARD_STEPS_S, validator=_positive_steps)
    success: Ranges = ()
    give_up: Ranges = ()


Policy = KazooPolicy | StandardPolicy


def chosen(hook: str | None, account: Any, node: str) -> str:
    """The name of the policy: the hook's choice, else its account's, else the node's.

    `account`: the value of `retry_policy` in the account's document `configs_webhooks`, of any
    type; a value that names no policy counts as no choice.
    """
    if hook is not None:
        return hook
    return account if isinstance(account, str) and account in POLICIES else node


def with_choices(
    delivery: Delivery,
    account: Mapping[str, Any],
    node: str,
    event_steps_s: tuple[float, ...] = (),
    grants: Grants = NO_GRANTS,
) -> Delivery:
    """The delivery with what its hook leaves open: by its account, its event type and the node.

    `account`: its document `configs_webhooks`. `event_steps_s`: the event type's retry steps. A
    hook's own steps make the policy `standard`, unless the hook has chosen another; those of its
    event type do so unless the hook or the account have. None as the policy of the result means the
    node's. `grants`: what the node lets hooks and accounts permit of their endpoints.
    """
    options = delivery.options
    chose = account or event_steps_s or options.retry_steps_s or options.endpoint or grants.kazoo
    if not chose and options.policy != node and options.log_successful is None:
        return delivery  # As nearly always; the rest takes as long as making the delivery.
    steps_s = options.retry_steps_s or event_steps_s
    policy = chosen(options.policy, account.get("retry_policy"), STANDARD if steps_s else node)
    if options.retry_steps_s and options.policy is None:
        policy = STANDARD
    log = account.get("log_successful_attempts")
    completed = evolve(
        options,
        policy=options.policy if policy == node else policy,
        retry_steps_s=steps_s,
        log_successful=None if log is None else is_true(log),
        endpoint=grants.settled(options.endpoint, account, checked=options.checked),
    )
    # Avoids the copy.
    return delivery if completed == options else evolve(delivery, options=completed)


@lru_cache(maxsize=1024)
def policy_named(
    name: str,
    steps_s: tuple[float, ...] = STANDARD_STEPS_S,
    success: Ranges = (),
    give_up: Ranges = (),
) -> Policy:
    """The policy with this name; `steps_s` and `give_up` apply to `standard` only."""
    if name == KAZOO:
        return KazooPolicy(success=success)
    return StandardPolicy(steps_s, success, give_up)


def policy_of(options: Options, node: str, node_steps_s: tuple[float, ...]) -> Policy:
    """The policy of a delivery with these options on a node with these settings."""
    own = options.retry_steps_s
    steps_s = (within(own, node_steps_s) if own else ()) or node_steps_s
    return policy_named(options.policy or node, steps_s, options.success, options.give_up)


def within(steps_s: tuple[float, ...], node_steps_s: tuple[float, ...]) -> tuple[float, ...]:
    """The first of these retry steps that together take no longer than all of the node's."""
    most_s = sum(node_steps_s)
    return tuple(
        step for step, sum_s in zip(steps_s, accumulate(steps_s), strict=True) if sum_s <= most_s
    )


def max_attempts(policy: Policy, delivery: Delivery) -> int:
    """The total number of attempts of a delivery."""
    return delivery.max_attempts if isinstance(policy, KazooPolicy) else len(policy.steps_s) + 1


def succeeded(policy: Policy, method: str, response: Response) -> bool:
    """Whether the response means success."""
    if policy.success:
        return _among(policy.success, response.status)
    if isinstance(policy, KazooPolicy):
        return response.status == 200 or (response.status == 201 and method == "PUT")
    return 200 <= response.status < 300


def verdict(
    policy: Policy,
    delivery: Delivery,
    attempts_made: int,
    outcome: Outcome,
    now_unix_s: float,
    random: Random,
) -> Done | Retry | GiveUp:
    """The verdict on an attempt. `attempts_made` includes it, so it is 1 after the first.

    A refused address is final, with either policy, and so is a loop.
    """
    if isinstance(outcome, Response) and succeeded(policy, delivery.method, outcome):
        return Done()
    reason = f"status {outcome.status}" if isinstance(outcome, Response) else outcome.kind
    if reason.startswith("refused") or attempts_made >= max_attempts(policy, delivery):
        return GiveUp(reason, disable=_gone(policy, outcome))
    if isinstance(outcome, Response) and outcome.status == LOOP_DETECTED:
        return GiveUp(f"{reason}: the event goes round in a loop")
    if isinstance(policy, KazooPolicy):
        return GiveUp(reason) if isinstance(outcome, Response) else Retry(policy.pause_ms)
    if _gone(policy, outcome):
        return GiveUp(reason, disable=True)
    if isinstance(outcome, Response) and _among(policy.give_up, outcome.status):
        return GiveUp(reason)
    pause_s = _jittered(policy.steps_s[attempts_made - 1], random)
    if isinstance(outcome, Response) and outcome.status in _HONOURS_RETRY_AFTER:
        pause_s = max(pause_s, retry_after_s(outcome.headers, now_unix_s))
    return Retry(math.ceil(pause_s * 1000))


def _among(ranges: Ranges, status: int) -> bool:
    return any(low <= status <= high for low, high in ranges)


def _gone(policy: Policy, outcome: Outcome) -> bool:
    """Whether the endpoint rejects all future deliveries (Standard Webhooks; RFC 9110, 15.5.11)."""
    standard = isinstance(policy, StandardPolicy)
    return standard and isinstance(outcome, Response) and outcome.status == GONE


def _jittered(step_s: float, random: Random) -> float:
    """Full jitter: any time up to the step, but at least a tenth of it and at least a second.

    An outage makes many deliveries fail at once; a random pause up to the whole step spreads them
    as thinly as possible. Without the lower bound some steps could pass at once, and the total time
    would not be guaranteed; with it the steps last a tenth of their sum in the worst case, and half
    of it on average.
    """
    least_s = min(step_s, max(LEAST_PAUSE_S, step_s * LEAST_PART))
    return least_s + (step_s - least_s) * random()


def retry_after_s(headers: Mapping[str, str], now_unix_s: float) -> float:
    """Seconds that the endpoint asks us to wait (RFC 9110, 10.2.3): at most a day, by default 0.

    The header may hold seconds or a date in any form of HTTP; other values are ignored.
    """
    text = next((v for name, v in headers.items() if name.lower() == "retry-after"), "").strip()
    if _SECONDS.fullmatch(text):
        # More digits mean more than a day, and Python refuses to read very long numbers.
        digits = text.lstrip("0")
        return float(min(int(digits or "0"), MAX_RETRY_AFTER_S) if len(digits) < 10 else 86_400)
    at = _http_date(text)
    return 0.0 if at is None else min(max(at - now_unix_s, 0.0), float(MAX_RETRY_AFTER_S))


def _http_date(text: str) -> float | None:
    """The Unix time of an HTTP date (RFC 9110, 5.6.7), all of which are in GMT."""
    try:
        parts = parsedate_tz(text)
        return None if parts is None else calendar.timegm(parts[:6]) - (parts[9] or 0)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def deferral(
    since_unix_s: float,
    now_unix_s: float,
    deferrals: int,
    most_s: float,
    random: Random,
    probe_in_s: float = 0.0,
) -> Retry | GiveUp:
    """When a deferred delivery returns. A deferral made no request and uses up no attempt.

    `since_unix_s`: the time of its first deferral. The pause is about as long as the delivery has
    been deferred so far, from 5 seconds to 10 minutes, so that deliveries for a dead endpoint
    return more and more rarely; half of the pause is random. After `most_s` seconds of deferrals
    the delivery is exhausted.

    `probe_in_s`: the time for which its endpoint's circuit certainly stays open
    (circuit_breaker.py); the delivery returns after that. Either pause is then rounded to the
    nearest single wait of delay_classes.py, which may be shorter.

    `deferrals`: the number of deferrals so far. Time that they cannot account for does not count:
    the clock has jumped, or the system was down.
    """
    deferred_s = min(now_unix_s - since_unix_s, deferrals * LONGEST_ROUND_S)
    if deferred_s >= most_s:
        return GiveUp(f"endpoint not available for {round(deferred_s)} s")
    chance = 0.5 + 0.5 * random()
    step_s = min(max(deferred_s, FIRST_DEFERRAL_S), MAX_DEFERRAL_S)
    pause_s = max(step_s * chance, probe_in_s + FIRST_DEFERRAL_S * chance)
    pause_s = one_wait(min(pause_s, MAX_DEFERRAL_S) * 1000) / 1000
    return Retry(math.ceil(pause_s * 1000))
