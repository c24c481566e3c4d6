"""Checks a CouchDB from outside: its kind, Callboard's rights, and its clock."""

import time
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import requests
import urllib3
from attrs import frozen

from callboard.adapters.keys.tls import take_options, tls_problem
from callboard.adapters.store.urls import mask_url

Stage = Literal["address", "tls", "credentials", "protocol"]


class ProbeFailed(Exception):
    """The store cannot be used. `stage`: the step that failed; the text has the details."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


@frozen
class StoreAbout:
    """A store's description of itself.

    `user` and `roles`: as whom it knows Callboard; None if it does not say. `ahead_s`: its clock
    minus ours, to the precision of a header in whole seconds; None without one.
    """

    product: str
    version: str
    user: str | None
    roles: tuple[str, ...] | None
    ahead_s: float | None

    @property
    def is_admin(self) -> bool | None:
        """Whether Callboard may do everything there; None if unknown."""
        return None if self.roles is None else "_admin" in self.roles


def look(url: str, timeout_s: float) -> StoreAbout:
    """The store at this URL. Raises ProbeFailed. `timeout_s` bounds each wait."""
    url, tls = take_options(url)
    with requests.Session() as session:
        session.verify = tls.verify and (tls.ca_file or True)
        if not tls.verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if tls.certificate_file:
            session.cert = (tls.certificate_file, tls.key_file or tls.certificate_file)
        if tls.server_name:
            session.mount("https://", _ByName(tls.server_name))
        session.trust_env = False  # no proxy, no netrc: the store client uses none either
        before = time.time()
        response = _get(session, url, timeout_s)
        ours = (before + time.time()) / 2
        about = _object(response)
        if not {"couchdb", "express-pouchdb"} & about.keys():
            raise ProbeFailed("protocol", f"{mask_url(url)} answers, and is no CouchDB")
        who = _object(_get(session, f"{url.rstrip('/')}/_session", timeout_s)).get("userCtx")
        who = who if isinstance(who, dict) else None
        return StoreAbout(
            "PouchDB server" if "express-pouchdb" in about else "CouchDB",
            str(about.get("version", "")),
            None if who is None else who.get("name"),
            None if who is None else tuple(who.get("roles", ())),
            _ahead_s(response.headers.get("Date"), ours),
        )


class _ByName(requests.adapters.HTTPAdapter):
    """Expects a name in the certificate that is not the URL's host."""

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See HTTPAdapter."""
        super().init_poolmanager(*arguments, server_hostname=self._name, **options)


def _get(session: requests.Session, url: str, timeout_s: float) -> requests.Response:
    try:
        response = session.get(url, timeout=timeout_s, allow_redirects=False)
    except requests.RequestException as error:
        reason = _reason(error)
        if problem := tls_problem(reason):
            raise ProbeFailed("tls", problem) from error
        raise ProbeFailed("address", reason) from error
    except OSError as error:  # a file that does not exist
        raise ProbeFailed("tls", f"TLS: {error}") from error
    if response.status_code in (401, 403):
        raise ProbeFailed("credentials", f"it answers {response.status_code}")
    if response.status_code != requests.codes.ok:
        raise ProbeFailed("protocol", f"it answers {response.status_code}")
    return response


def _object(response: requests.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _ahead_s(date: str | None, ours: float) -> float | None:
    if date is None:
        return None
    try:
        # The header is truncated to whole seconds: half a second is its mean error.
        return parsedate_to_datetime(date).timestamp() + 0.5 - ours
    except ValueError:
        return None


def _reason(error: requests.RequestException) -> str:
    """The system's message, unwrapped from requests' exception; never the URL's password."""
    inner: BaseException = error
    while (cause := inner.__cause__ or inner.__context__) is not None:
        inner = cause
    return str(getattr(inner, "strerror", None) or inner or type(error).__name__)
