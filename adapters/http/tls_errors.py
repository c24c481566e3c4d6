"""The reasons for which TLS fails, as short texts that stay the same with every library.

Python's ssl and libcurl both pass on OpenSSL's reasons: by a number for certificates (X509_V_ERR),
by a text for everything else.
"""

import re
import ssl

PREFIX = "tls: "
FAILED = "failed"
"""The reason for an error that is not in the tables; the log has its text."""

NOT_VALID = "certificate not valid"

_CERTIFICATE = {
    2: "certificate of an unknown authority",
    9: "certificate not yet valid",
    10: "certificate expired",
    18: "certificate self-signed",
    19: "certificate of an unknown authority",
    20: "certificate of an unknown authority",
    21: "certificate of an unknown authority",
    23: "certificate revoked",
    62: "certificate of another name",
    64: "certificate of another name",
    66: "certificate too weak",
    67: "certificate too weak",
    68: "certificate too weak",
}
"""By OpenSSL's X509_V_ERR numbers, which are part of its stable interface."""

_REASONS = (
    ("certificate required", "client certificate required"),
    ("peer did not return a certificate", "client certificate required"),
    ("alert unknown ca", "client certificate refused"),
    ("alert bad certificate", "client certificate refused"),
    ("alert certificate", "client certificate refused"),
    ("alert unsupported certificate", "client certificate refused"),
    ("certificate has expired", "certificate expired"),
    ("not yet valid", "certificate not yet valid"),
    ("subject name", "certificate of another name"),
    ("common name", "certificate of another name"),
    ("self-signed certificate in certificate chain", "certificate of an unknown authority"),
    ("self-signed certificate", "certificate self-signed"),
    ("unable to get", "certificate of an unknown authority"),
    ("certificate revoked", "certificate revoked"),
    ("key too weak", "certificate too weak"),
    ("digest algorithm too weak", "certificate too weak"),
    ("alert protocol version", "no common version"),
    ("unsupported protocol", "no common version"),
    ("no protocols available", "no common version"),
    ("handshake failure", "handshake failure"),
    ("no shared cipher", "no common cipher"),
    ("unrecognized name", "unknown name"),
    ("wrong version number", "not TLS"),
    ("packet length too long", "not TLS"),
    ("record layer failure", "not TLS"),
    ("http request", "not TLS"),
    ("certificate problem", NOT_VALID),
)
"""By a part of the reason's text, in lower case; the first that fits."""

ALL = frozenset((FAILED, *_CERTIFICATE.values(), *(reason for _part, reason in _REASONS)))
"""Every reason; docs/security.md says what to do about it."""

_OPENSSL = re.compile(r"ssl routines::([a-z0-9 /-]+)")


def tls_reason(error: ssl.SSLError) -> str:
    """The reason: `certificate expired` and the like, or `failed`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE.get(error.verify_code, NOT_VALID)
    return reason_in(error.reason or str(error))


def reason_in(text: str) -> str:
    """The reason in OpenSSL's or libcurl's text."""
    text = text.replace("_", " ").lower()
    found = _OPENSSL.search(text)
    told = found[1] if found else text
    return next((reason for part, reason in _REASONS if part in told), FAILED)
