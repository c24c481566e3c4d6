"""Checks of the store: availability, permissions, contents."""

import os
from collections.abc import Iterator
from itertools import islice

from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError, key_hint
from callboard.adapters.repositories.hooks import DATABASE, EVERY_HOOK
from callboard.adapters.store.couchdb import CouchdbStore
from callboard.adapters.store.couchdb_probe import ProbeFailed, Stage, StoreAbout, look
from callboard.adapters.store.protocol import DocumentStore, StoreError
from callboard.adapters.store.rights import Operation
from callboard.adapters.store.stores import FILE_NAME
from callboard.adapters.store.urls import mask_url
from callboard.adapters.store.views import WEBHOOKS
from callboard.cli.doctor.finding import Finding, ok, problem, warning
from callboard.cli.doctor.store_rights import lacking_rights, missing_views, rights_finding
from callboard.config.server_urls import store_url
from callboard.config.settings import Settings
from callboard.webhooks.hooks.secrets import SecretsRefused, stored_secrets

TIMEOUT_S = 5.0
SKEW_S = 5.0
"""A greater difference of clocks gives attempts and failures wrong times."""
TOLERANCE_S = 300.0
"""With a greater difference of clocks receivers reject signatures."""
HOOKS = 2000
"""Number of hooks whose secrets are checked."""

MEND: dict[Stage, str] = {
    "address": "check that CouchDB runs and that this machine can reach its port",
    "tls": "correct couchdb.ca_bundle, client_certificate or tls_server_name, or the port "
    "(docs/security.md)",
    "credentials": "correct user and password in couchdb.url, with special characters as %XX",
    "protocol": "check that couchdb.url points to CouchDB itself, without a path",
}
START = "`callboard start` creates it"
ADMIN = "give the user of couchdb.url the rights of an admin"
COPY = "give all nodes the same secrets.key_file (docs/signatures.md)"


def store(settings: Settings) -> Iterator[Finding]:
    """Checks the configured store."""
    url = store_url(settings)
    if url.startswith("sqlite:"):
        yield _embedded(settings)
        return
    try:
        about = look(url, TIMEOUT_S)
    except ProbeFailed as failed:
        yield problem("store", f"{mask_url(url)}: {failed.stage}: {failed}", MEND[failed.stage])
        return
    yield ok("store", f"{about.product} {about.version} at {mask_url(url)}")
    yield clock(about.ahead_s)
    couchdb = CouchdbStore(url, TIMEOUT_S)
    try:
        yield from _contents(couchdb, about, settings)
    except StoreError as error:
        yield problem(
            "databases", str(error), "give the user of couchdb.url the rights of an admin"
        )
    finally:
        couchdb.close()


def _embedded(settings: Settings) -> Finding:
    file = settings.data.dir / FILE_NAME
    if not file.exists():
        return ok("store", f"the embedded store; {file} will be made at the first start")
    if not os.access(file, os.R_OK | os.W_OK):
        return problem("store", f"{file} is not writable", "run as its owner, or chown it")
    with file.open("rb") as opened:
        if file.stat().st_size and opened.read(15) != b"SQLite format 3":
            return problem("store", f"{file} is no database", "move it away, or restore it")
    return ok("store", f"the embedded store, {file}")


def clock(ahead_s: float | None) -> Finding:
    """Checks the store's clock. `ahead_s`: its time minus this machine's."""
    if ahead_s is None:
        return ok("clock", "the store's response has no time")
    off = abs(ahead_s)
    what = f"the store's is {off:.1f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    mend = "synchronise both by NTP: `timedatectl set-ntp true`"
    if off > TOLERANCE_S:
        return problem("clock", f"{what}: receivers may reject signatures", mend)
    if off > SKEW_S:
        return warning("clock", what, mend)
    return ok("clock", "this machine's and the store's agree")


def _contents(couchdb: CouchdbStore, about: StoreAbout, settings: Settings) -> Iterator[Finding]:
    """Checks the existing databases and views."""
    lacking = [*lacking_rights(couchdb, about, settings)] if about.is_admin is False else []
    if lacking:
        yield from map(rights_finding, lacking)
    elif about.is_admin is False:
        yield ok("rights", f"{about.user or 'the user'} has all that is needed, and is no admin")
    if (Operation.READ, DATABASE) in {(each.right.operation, each.database) for each in lacking}:
        return
    if not couchdb.database_exists(DATABASE):
        if about.is_admin is not False:
            yield ok("databases", f"{DATABASE} is missing: {START}")
        return
    yield ok("databases", f"{DATABASE} is there")
    if missing := missing_views(couchdb, DATABASE, WEBHOOKS):
        mend = f"{START}, and so does `callboard maintenance register_views`"
        yield warning("views", f"{', '.join(missing)} missing", mend)
        return
    yield ok("views", f"all {len(WEBHOOKS)} of {DATABASE} are there")
    yield secrets_of(couchdb, settings)


def secrets_of(couchdb: DocumentStore, settings: Settings) -> Finding:
    """Checks that this node has the keys that encrypted the hooks' secrets."""
    rows = couchdb.view(DATABASE, EVERY_HOOK, include_documents=True, limit=HOOKS)
    needed: dict[str, str] = {}
    try:
        for row in islice(rows, HOOKS):
            for secret in stored_secrets(row.document or {}):
                needed.setdefault(key_hint(secret.encrypted), str(row.id))
        if not needed:
            return ok("hooks' secrets", "none are stored")
        have = SecretBox(settings.secrets.key, settings.secrets_key_file).hints()
    except (SecretsRefused, SecretBoxError) as error:
        return problem("hooks' secrets", str(error), COPY)
    missing = [hint for hint in needed if hint not in have]
    if missing:
        what = f"key {missing[0]} of hook {needed[missing[0]]} is not on this node"
        return problem("hooks' secrets", what, COPY)
    return ok("hooks' secrets", "can be decrypted here")
