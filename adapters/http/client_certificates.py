"""TLS of requests: the node's, and that of hooks with certificates of their own."""

import re
import ssl
from pathlib import Path
from threading import Lock

from attrs import field, frozen
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from callboard.adapters.http.connection import tls_context

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # no separators, no leading dot
CERTIFICATE, CA_BUNDLE = "client_certificate", "ca_bundle"
_Version = tuple[int, int]


class NoCertificateError(Exception):
    """An unusable client certificate or CA bundle; the text names it and gives the reason."""


@frozen(eq=False)
class TlsProfile:
    """How connections are secured; a replaced file yields a new object.

    `context` does it; for libcurl: `pem`, the client certificate with its key, `ca`, the
    authorities in place of the node's, and `verify`, whether certificates are checked at all.
    """

    context: ssl.SSLContext
    pem: bytes | None = field(repr=False)
    ca: bytes | None = field(repr=False)
    verify: bool


class ClientCertificates:
    """TLS contexts: the node's, and one for each combination of files in use.

    `folder`: PEM files with certificate and key, or with authorities. `{folder}/{account}/{name}`
    is for the hooks of that account only, `{folder}/{name}` for those of all. A replaced file is
    read again. `ca_bundle`: a PEM file; by default certifi's. Thread-safe. Raises OSError for an
    unreadable CA bundle.
    """

    def __init__(self, ca_bundle: str | None = None, folder: Path | None = None) -> None:
        self.ca_bundle = ca_bundle or DEFAULT_CA_BUNDLE_PATH
        self._folder = folder
        self._known: dict[
            tuple[Path | None, Path | None, bool], tuple[tuple[_Version, ...], TlsProfile]
        ] = {}
        self._lock = Lock()
        self.without = tls_context(self.ca_bundle)

    def profile(
        self, account_id: str, certificate: str | None, ca: str | None, *, verify: bool
    ) -> TlsProfile | None:
        """With the client certificate and the authorities of these names; None: the node's own.

        Raises NoCertificateError.
        """
        if certificate is None and ca is None and verify:
            return None
        shown = self._path(account_id, certificate, CERTIFICATE)
        trusted = self._path(account_id, ca, CA_BUNDLE) if verify else None
        with self._lock:
            try:
                versions = tuple(_version(path) for path in (shown, trusted) if path is not None)
                known, profile = self._known.get((shown, trusted, verify), (None, None))
                if profile is None or known != versions:
                    profile = self._read(shown, trusted, verify=verify)
                    self._known[shown, trusted, verify] = versions, profile
            except (OSError, ValueError) as error:
                named = [f"{CERTIFICATE} {certificate!r}"] if certificate else []
                named += [f"{CA_BUNDLE} {ca!r}"] if ca else []
                raise NoCertificateError(f"{', '.join(named)}: {error}") from error
        return profile

    def _path(self, account_id: str, name: str | None, member: str) -> Path | None:
        return None if name is None else certificate_path(self._folder, account_id, name, member)

    def _read(self, shown: Path | None, trusted: Path | None, *, verify: bool) -> TlsProfile:
        context = tls_context(str(trusted) if trusted else self.ca_bundle)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if shown is not None:
            # For an encrypted key OpenSSL would prompt at the terminal, and wait.
            context.load_cert_chain(shown, password=_no_password)
        return TlsProfile(
            context,
            None if shown is None else shown.read_bytes(),
            None if trusted is None else trusted.read_bytes(),
            verify,
        )


def _version(path: Path) -> _Version:
    state = path.stat()
    return state.st_mtime_ns, state.st_ino


def certificate_path(
    folder: Path | None, account_id: str, name: str, member: str = CERTIFICATE
) -> Path:
    """The file that a hook names in that member. Raises NoCertificateError if there is none."""
    if folder is None:
        raise NoCertificateError(
            f"{member} {name!r}: this node has none (delivery.client_certificates)"
        )
    if not _NAME.fullmatch(name):
        raise NoCertificateError(f"{member} {name!r} is no name of a certificate")
    places = [folder / name]
    if _NAME.fullmatch(account_id):
        places.insert(0, folder / account_id / name)
    for path in places:
        if path.is_file():
            return path
    raise NoCertificateError(
        f"{member} {name!r}: the folder delivery.client_certificates has no such file"
    )


def _no_password() -> str:
    raise ValueError("its key is encrypted: store it without a password")
