"""TLS to the broker and the store: options of their URLs, as RabbitMQ's own clients read them.

`cacertfile`, `certfile`, `keyfile`, `verify` (verify_peer or verify_none) and
`server_name_indication` (https://www.rabbitmq.com/docs/uri-query-parameters).
"""

import ssl
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from attrs import frozen

VERIFY = {"verify_peer": True, "verify_none": False}

ENDED = "the server ended the connection at once: it may demand a client certificate"
"""In TLS 1.3 the client may write before it reads that, and loses the response."""

PROBLEMS = {
    "certificate required": "the server demands a client certificate: set client_certificate",
    "handshake failure": "the server demands a client certificate, or has no cipher in common",
    "unknown ca": "the server does not trust the authority of the client certificate",
    "alert certificate expired": "the server says that the client certificate has expired",
    "alert bad certificate": "the server refuses the client certificate",
    "alert certificate unknown": "the server refuses the client certificate",
    "alert unsupported certificate": "the server refuses the client certificate",
    "certificate has expired": "the server's certificate has expired",
    "certificate is not yet valid": "the server's certificate is not valid yet; compare the clocks",
    "local issuer certificate": "the server's certificate is of an authority that ca_bundle lacks",
    "self-signed certificate": "the server's certificate is of an authority that ca_bundle lacks",
    "self signed certificate": "the server's certificate is of an authority that ca_bundle lacks",
    "mismatch, certificate is not valid for": (
        "the server's certificate is for another name: set tls_server_name to its name"
    ),
    "eof occurred in violation of protocol": ENDED,
    "incompatibleprotocolerror: connectionreseterror": ENDED,
    "wrong version number": "the port does not speak TLS",
    "record layer failure": "the port does not speak TLS",
}
"""What users need to know, by a part of OpenSSL's text."""


@frozen
class Tls:
    """How to check the server, and what to show it. Files are in PEM."""

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    server_name: str = ""
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """A context with the files as they are. Raises ValueError for an unusable one."""
        file = self.ca_file
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if not self.verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if self.certificate_file:
                file = self.certificate_file
                context.load_cert_chain(self.certificate_file, self.key_file or None)
        except OSError as error:  # ssl.SSLError is one
            beside = f" and {self.key_file}" if file != self.ca_file and self.key_file else ""
            why = error.strerror or "is no certificate in PEM"
            if isinstance(error, ssl.SSLError):
                why = "not certificates in PEM, or not of this key"
            raise ValueError(f"TLS: {file}{beside}: {why}") from None
        return context


def take_options(url: str) -> tuple[str, Tls]:
    """The URL without its options for TLS, and these. Raises ValueError for an unknown value."""
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = Tls(
        ca_file=given.pop("cacertfile", ""),
        certificate_file=given.pop("certfile", ""),
        key_file=given.pop("keyfile", ""),
        server_name=given.pop("server_name_indication", ""),
        verify=_verify(given.pop("verify", "verify_peer")),
    )
    if tls == Tls():
        return url, tls
    return urlunsplit(parts._replace(query=urlencode(given))), tls


def _verify(written: str) -> bool:
    if written not in VERIFY:
        raise ValueError(f"verify is one of {', '.join(VERIFY)}")
    return VERIFY[written]


def tls_problem(text: str) -> str:
    """The fault of TLS in an error's text, in words for users; empty if there is none."""
    text = text.lower().replace("_", " ")
    return next((f"TLS: {words}" for part, words in PROBLEMS.items() if part in text), "")
