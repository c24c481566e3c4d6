"""Finds the master account of a cluster without a configured one (kapps_util)."""

import math
from collections.abc import Generator
from itertools import islice

from callboard.adapters.store.protocol import DatabaseMissing, DocumentStore
from callboard.webhooks.values.json_values import as_int

DATABASE = "accounts"
LISTING = "accounts/listing_by_id"
PAGE = 200


def oldest_account(store: DocumentStore) -> Generator[None, None, str | None]:
    """The account with the smallest `pvt_created`; None while there is no account.

    Pauses after each page of accounts. Accounts without a creation time count as the youngest.
    Raises StoreError, also if the database lacks Kazoo's view.
    """
    rows = store.view(DATABASE, LISTING, include_documents=True, page_size=PAGE)
    oldest: tuple[float, str] | None = None
    try:
        while page := list(islice(rows, PAGE)):
            for row in page:
                if row.document is None or row.id is None:
                    continue
                created = as_int(row.document.get("pvt_created"))
                candidate = (math.inf if created is None else created, row.id)
                oldest = candidate if oldest is None else min(oldest, candidate)
            yield
    except DatabaseMissing:
        return None
    return None if oldest is None else oldest[1]
