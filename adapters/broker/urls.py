"""URLs of brokers. Those of one cluster are one text, separated by commas."""

import re
from random import sample

_NEXT = re.compile(r",(?=[\w+.-]+://)")


def each_url(urls: str) -> tuple[str, ...]:
    """The URL of each broker of a cluster."""
    return tuple(_NEXT.split(urls))


def in_any_order(urls: str) -> str:
    """The same brokers in a random order."""
    each = each_url(urls)
    return ",".join(sample(each, len(each)))


def mask_url(urls: str) -> str:
    """The URLs as they may be printed: with `***` for the password, even if not well formed."""
    masked = (re.sub(r"://([^:/@]*):.*@", r"://\1:***@", url, flags=re.S) for url in each_url(urls))
    return ",".join(masked)


def places(urls: str) -> str:
    """Hosts, ports and virtual hosts."""
    return ", ".join(url.rpartition("@")[2] for url in each_url(urls))
