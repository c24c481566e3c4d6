from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.hooks.listing import HookListing

KEYS = st.sets(st.tuples(st.text("abc", max_size=3), st.text("xyz", max_size=3)), max_size=30)


def pages(listing, account_id=None, size=3):
    """All keys, asked for page by page."""
    found, last = [], None
    while True:
        rest = listing.after(last, account_id)
        page = [key for key, _number in zip(rest, range(size), strict=False)]
        if not page:
            return found
        found += page
        last = page[-1]


@given(KEYS)
def test_pages_have_every_hook_once_and_in_order(keys):
    assert pages(HookListing(keys)) == sorted(keys)


@given(KEYS, st.text("abc", max_size=3))
def test_so_do_the_pages_of_one_account(keys, account_id):
    of_account = sorted(key for key in keys if key[0] == account_id)
    assert pages(HookListing(keys), account_id) == of_account


@given(KEYS, st.tuples(st.text("abc", max_size=3), st.text("xyz", max_size=3)))
def test_goes_on_behind_any_key_even_one_that_is_gone(keys, last):
    assert list(HookListing(keys).after(last)) == sorted(key for key in keys if key > last)
