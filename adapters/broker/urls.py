"""URLs of brokers, as they may be printed."""

import re


def mask_url(url: str) -> str:
    """The URL as it may be printed: with `***` for the password, even for one not well formed."""
    return re.sub(r"://([^:/@]*):.*@", r"://\1:***@", url, flags=re.DOTALL)
