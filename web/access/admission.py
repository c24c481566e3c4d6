"""Admits requests to the worker threads, fairly by account.

A request of a known account counts as the account's, one with the admin's token as that of the
account in its path, and any other as that of its client's address.
"""

import asyncio
import hashlib
import hmac
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from attrs import define
from starlette.requests import Request

from callboard.web.access.account_quotas import AccountQuotas
from callboard.web.access.clients import Network, client_address
from callboard.web.access.fair_slots import FairSlots, TooManyWait
from callboard.web.access.quota_reports import QuotaReports
from callboard.web.access.refusals import Refusals
from callboard.web.access.state import header_token, query_token
from callboard.web.access.throttling import network_of
from callboard.web.access.tokens import Caller
from callboard.web.errors import ApiError, broker_blocked, busy, over_rate
from callboard.webhooks.hooks.quotas import SECTION

THREADS = 16
"""The most requests that may wait for the store or an actor at a time; more wait for a slot."""
SPARE_THREADS = 8
"""Threads for what needs no slot: the files of the dashboard, and reading a large body."""
ADMIN_SLOTS = THREADS - 4
"""The most slots of requests with the admin's token that name no account."""
TURN_S = 20.0
"""The longest wait for a slot, in seconds."""
MAX_TOKENS = 10_000
BELIEVED_S = 1.0
"""For how long events may be posted without another look whether the token is still valid."""
_NOBODY = Caller(None), -math.inf
POSTS = "/v2/events"
"""The path to which events are posted."""
_ADDRESS = "address"


class KnownTokens:
    """The callers of tokens that were valid lately, by their digests. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._callers: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._clock = clock
        self._lock = threading.Lock()

    def add(self, token: str, caller: Caller) -> None:
        """Remember the caller of a token that is valid now."""
        digest = _digest(token)
        with self._lock:
            self._callers.pop(digest, None)
            self._callers[digest] = caller, self._clock()
            while len(self._callers) > MAX_TOKENS:
                self._callers.popitem(last=False)

    def account_of(self, token: str) -> str | None:
        """The token's account, if it was valid lately. It tells whose slots a request takes."""
        with self._lock:
            caller, _at = self._callers.get(_digest(token), _NOBODY)
        return caller.account_id

    def caller_of(self, token: str) -> Caller | None:
        """The token's caller, if it was valid within BELIEVED_S."""
        with self._lock:
            caller, at = self._callers.get(_digest(token), _NOBODY)
        return caller if self._clock() - at < BELIEVED_S else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


@define
class Slot:
    """A request's slot. Given back once: at the start of the response, or before a long wait."""

    _slots: FairSlots
    _client: Hashable
    _held: bool = True

    def give_back(self) -> None:
        """Let another request have it; this one must not use a thread for long any more."""
        if self._held:
            self._held = False
            self._slots.give_back(self._client)


@define
class Admission:
    """Whom requests count for, and the slots."""

    admin_token: str
    quotas: AccountQuotas
    tokens: KnownTokens
    trusted_proxies: tuple[Network, ...]
    refusals: Refusals
    slots: FairSlots
    posts_refused: Callable[[], str]
    quota_reports: QuotaReports

    async def slot_for(self, request: Request) -> Slot:
        """Wait for a slot for this request. Raises ApiError 429, 503.

        An event that the broker does not take is refused here, before its body is parsed; one with
        an unknown token is not, so that its response is 401.
        """
        client, most, account = self._client(request)
        is_post = (request.method, request.scope["path"]) == ("POST", POSTS)
        if is_post and client[0] != _ADDRESS and (reason := self.posts_refused()):
            raise broker_blocked(reason)
        try:
            if not self.slots.take_now(client, most):
                await asyncio.wait_for(self.slots.take(client, most), TURN_S)
        except (TooManyWait, TimeoutError):
            if account is None:
                raise busy("too many requests are in progress: try again later") from None
            own = f"the account has more requests in progress: {SECTION}.requests allows {most}"
            raise over_rate(own, f"{SECTION}.requests", 5) from None
        return Slot(self.slots, client)

    def refused(self, request: Request, error: ApiError) -> None:
        """Count a refusal because of a limit, for the log, and report that of a quota."""
        account = self.tokens.account_of(_token(request))
        if error.is_limit:
            self.refusals.count(error.message, account or self._address(request))
        if error.quota and (owner := error.account_id or account):
            self.quota_reports.refused(owner, *error.quota)

    def _client(self, request: Request) -> tuple[tuple[str, str], int, str | None]:
        """The client, its number of slots, and its account."""
        token = _token(request)
        account_id = self.tokens.account_of(token)
        if account_id is not None:
            return ("account", account_id), self.quotas.known(account_id).requests, account_id
        if token and hmac.compare_digest(token.encode(), self.admin_token.encode()):
            match request.scope["path"].split("/"):
                case ["", "v2", "accounts", id, *_]:
                    return ("for", id), self.quotas.known(id).requests, id
            return ("admin", ""), ADMIN_SLOTS, None
        return (_ADDRESS, self._address(request)), self.quotas.node.requests, None

    def _address(self, request: Request) -> str:
        peer = request.client.host if request.client else ""
        forwarded_for = request.headers.getlist("x-forwarded-for")
        return network_of(client_address(peer, forwarded_for, self.trusted_proxies))


def _token(request: Request) -> str:
    """The token, unless it is in the body: to read it may be the most expensive part."""
    return header_token(request) or query_token(request)
