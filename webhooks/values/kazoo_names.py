"""Kazoo's names and times: databases, routing keys, Gregorian seconds (kz_amqp_util, kz_time)."""

import re
import time

GREGORIAN_OFFSET_S = 62_167_219_200
"""Seconds from year 0 to 1970, as Erlang's calendar module counts."""

_ACCOUNT_DATABASE = re.compile(
    r"account(?:/|%2F)([0-9a-f]{2})(?:/|%2F)([0-9a-f]{2})(?:/|%2F)([0-9a-f]{28})(?:-\d{6})?"
)
_RAW_ACCOUNT = re.compile(r"([0-9a-f]{32})(?:-\d{6})?")
_ACCOUNT_ID = re.compile(r"[0-9a-f]{32}")
_STORABLE_ID = re.compile(r"[a-z0-9_$()+-]{3,100}")
_SEGMENT_KEEPS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-~_")


def gregorian_s(unix_s: float) -> int:
    """Gregorian seconds of a Unix time in seconds."""
    return int(unix_s) + GREGORIAN_OFFSET_S


def gregorian_ms(unix_s: float) -> int:
    """Gregorian milliseconds of a Unix time in seconds."""
    return int(unix_s * 1000) + GREGORIAN_OFFSET_S * 1000


def is_account_id(text: str) -> bool:
    """Whether this is an account's id: 32 hexadecimal digits, in lower case."""
    return _ACCOUNT_ID.fullmatch(text) is not None


def may_have_database(account_id: str) -> bool:
    """Whether CouchDB permits the account's databases (lower case; other buses than Kazoo's)."""
    return _STORABLE_ID.fullmatch(account_id) is not None


def gregorian_us(unix_s: float) -> int:
    """Gregorian microseconds of a Unix time in seconds: Kazoo's AMQP timestamps."""
    return int(unix_s * 1_000_000) + GREGORIAN_OFFSET_S * 1_000_000


def account_database(account_id: str) -> str:
    """The account's database as CouchDB names it: `account/ab/cd/ef…`."""
    return f"account/{account_id[:2]}/{account_id[2:4]}/{account_id[4:]}"


def modb(account_id: str, unix_s: float) -> str:
    """The account's monthly database at that time, UTC: `account/ab/cd/ef…-YYYYMM`."""
    return account_database(account_id) + time.strftime("-%Y%m", time.gmtime(unix_s))


def encoded(database: str) -> str:
    """The form in Kazoo's documents and routing keys: slashes as `%2F`."""
    return database.replace("/", "%2F")


def decoded(database: str) -> str:
    """The form that CouchDB uses: `%2F` as slashes; the opposite of `encoded`."""
    return database.replace("%2F", "/").replace("%2f", "/")


def account_of_database(name: str) -> str | None:
    """The account of a database or MODb, in any of the three forms; None for other names.

    As in Kazoo, the case matters: `account%2f…` is another name.
    """
    if match := _ACCOUNT_DATABASE.fullmatch(name):
        return "".join(match.groups())
    if match := _RAW_ACCOUNT.fullmatch(name):
        return match[1]
    return None


def encode_segment(value: str) -> str:
    """One word of a routing key (kz_amqp_util:encode): bytes escaped, space as `+`.

    The values with a special meaning in topic exchanges (`*`, `#`) are kept.
    """
    if value in ("*", "#"):
        return value
    return "".join(
        chr(byte) if byte in _SEGMENT_KEEPS else "+" if byte == 0x20 else f"%{byte:02X}"
        for byte in value.encode(errors="replace")
    )
