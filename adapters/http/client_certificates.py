"""Client certificates that hooks name, and the TLS context of hooks without one."""

import re
import ssl
from pathlib import Path
from threading import Lock

from attrs import field, frozen
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from callboard.adapters.http.connection import tls_context

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # no separators, no leading dot


class NoCertificateError(Exception):
    """An unusable client certificate; the text names it and gives the reason."""


@frozen(eq=False)
class ClientCertificate:
    """A certificate as read from its file; a replaced file yields a new object.

    `context` presents it, `pem` is the file.
    """

    context: ssl.SSLContext
    pem: bytes = field(repr=False)


class ClientCertificates:
    """TLS contexts: one without a certificate, and one for each certificate in use.

    `folder`: PEM files with certificate and key. `{folder}/{account}/{name}` is for the hooks of
    that account only, `{folder}/{name}` for those of all. A replaced file is read again.
    `ca_bundle`: a PEM file; by default certifi's. Thread-safe. Raises OSError for an unreadable CA
    bundle.
    """

    def __init__(self, ca_bundle: str | None = None, folder: Path | None = None) -> None:
        self.ca_bundle = ca_bundle or DEFAULT_CA_BUNDLE_PATH
        self._folder = folder
        self._known: dict[Path, tuple[tuple[int, int], ClientCertificate]] = {}
        self._lock = Lock()
        self.without = tls_context(self.ca_bundle)

    def named(self, account_id: str, name: str) -> ClientCertificate:
        """The certificate with this name. Raises NoCertificateError."""
        path = certificate_path(self._folder, account_id, name)
        with self._lock:
            try:
                state = path.stat()
                version = (state.st_mtime_ns, state.st_ino)
                known, certificate = self._known.get(path, (None, None))
                if certificate is None or known != version:
                    context = tls_context(self.ca_bundle)
                    # For an encrypted key OpenSSL would prompt at the terminal, and wait.
                    context.load_cert_chain(path, password=_no_password)
                    certificate = ClientCertificate(context, path.read_bytes())
                    self._known[path] = version, certificate
            except (OSError, ValueError) as error:
                raise NoCertificateError(f"client_certificate {name!r}: {error}") from error
        return certificate


def certificate_path(folder: Path | None, account_id: str, name: str) -> Path:
    """The file of a certificate. Raises NoCertificateError if there is none."""
    if folder is None:
        raise NoCertificateError(
            f"client_certificate {name!r}: this node has none (delivery.client_certificates)"
        )
    if not _NAME.fullmatch(name):
        raise NoCertificateError(f"client_certificate {name!r} is no name of a certificate")
    places = [folder / name]
    if _NAME.fullmatch(account_id):
        places.insert(0, folder / account_id / name)
    for path in places:
        if path.is_file():
            return path
    raise NoCertificateError(
        f"client_certificate {name!r}: the folder delivery.client_certificates has no such file"
    )


def _no_password() -> str:
    raise ValueError("its key is encrypted: store it without a password")
