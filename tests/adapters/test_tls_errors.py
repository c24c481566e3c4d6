"""The reasons for which TLS fails, of what OpenSSL and libcurl say."""

import ssl

import pycurl
import pytest

from callboard.adapters.http.curl_request import CurlRequest
from callboard.adapters.http.tls_errors import reason_in, tls_reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [  # OpenSSL, x509_vfy.h
        (2, "certificate of an unknown authority"),  # UNABLE_TO_GET_ISSUER_CERT
        (9, "certificate not yet valid"),  # CERT_NOT_YET_VALID
        (10, "certificate expired"),  # CERT_HAS_EXPIRED
        (18, "certificate self-signed"),  # DEPTH_ZERO_SELF_SIGNED_CERT
        (19, "certificate of an unknown authority"),  # SELF_SIGNED_CERT_IN_CHAIN
        (20, "certificate of an unknown authority"),  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        (21, "certificate of an unknown authority"),  # UNABLE_TO_VERIFY_LEAF_SIGNATURE
        (23, "certificate revoked"),  # CERT_REVOKED
        (62, "certificate of another name"),  # HOSTNAME_MISMATCH
        (64, "certificate of another name"),  # IP_ADDRESS_MISMATCH
        (66, "certificate too weak"),  # EE_KEY_TOO_SMALL
        (67, "certificate too weak"),  # CA_KEY_TOO_SMALL
        (68, "certificate too weak"),  # CA_MD_TOO_WEAK
        (26, "certificate not valid"),  # INVALID_PURPOSE
    ],
)
def test_certificates_are_judged_by_openssls_numbers(code, reason):
    error = ssl.SSLCertVerificationError(1, "certificate has expired")
    error.verify_code = code
    assert tls_reason(error) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [  # libcurl
        ("SSL certificate problem: certificate has expired", "certificate expired"),
        ("SSL certificate problem: certificate is not yet valid", "certificate not yet valid"),
        (
            "SSL: no alternative certificate subject name matches target host name 'a.example'",
            "certificate of another name",
        ),
        (
            "SSL: unable to obtain common name from peer certificate",
            "certificate of another name",
        ),
        ("SSL certificate problem: self-signed certificate", "certificate self-signed"),
        (
            "SSL certificate problem: self-signed certificate in certificate chain",
            "certificate of an unknown authority",
        ),
        (
            "SSL certificate problem: unable to get local issuer certificate",
            "certificate of an unknown authority",
        ),
        ("SSL certificate problem: certificate revoked", "certificate revoked"),
        ("SSL certificate problem: EE certificate key too weak", "certificate too weak"),
        (
            "SSL certificate problem: CA signature digest algorithm too weak",
            "certificate too weak",
        ),
        ("SSL certificate problem: unsuitable certificate purpose", "certificate not valid"),
        # OpenSSL, sslerr.h; by libcurl with its error's number and library
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "client certificate required"),
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "client certificate required"),
        ("TLSV1_ALERT_UNKNOWN_CA", "client certificate refused"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "client certificate refused"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "client certificate refused"),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "client certificate refused"),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "client certificate refused"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "no common version"),
        ("UNSUPPORTED_PROTOCOL", "no common version"),
        ("NO_PROTOCOLS_AVAILABLE", "no common version"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "handshake failure"),
        ("NO_SHARED_CIPHER", "no common cipher"),
        ("TLSV1_UNRECOGNIZED_NAME", "unknown name"),
        ("WRONG_VERSION_NUMBER", "not TLS"),
        ("PACKET_LENGTH_TOO_LONG", "not TLS"),
        ("RECORD_LAYER_FAILURE", "not TLS"),
        ("HTTP_REQUEST", "not TLS"),
        (
            "error:0A00010B:SSL routines::wrong version number, certificate has expired",
            "not TLS",
        ),
        ("Connection reset", "failed"),
        ("", "failed"),
    ],
)
def test_texts_have_a_reason_or_it_failed(text, reason):
    assert reason_in(text) == reason


def test_an_error_of_the_handshake_is_judged_by_its_reason_or_its_text():
    error = ssl.SSLError(1, "[SSL: NO_SHARED_CIPHER] no shared cipher (_ssl.c:1)")
    error.reason = None
    assert tls_reason(error) == "no common cipher"
    error.reason = "HTTP_REQUEST"
    assert tls_reason(error) == "not TLS"


@pytest.mark.parametrize(
    "text",
    [
        "OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to a.example:443",
        "OpenSSL SSL_connect: SSL_ERROR_ZERO_RETURN in connection to a.example:443",
        "error:0A000126:SSL routines::unexpected eof while reading",
        "OpenSSL SSL_connect: Connection reset by peer in connection to a.example:443",
    ],
)
def test_a_peer_that_hangs_up_on_tls_has_closed_the_connection(ca_bundle, text):
    request = CurlRequest(ca_bundle, 1000, None)
    request.rest()
    assert request.outcome(pycurl.E_SSL_CONNECT_ERROR, text).kind == "failed_connect: closed"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Recv failure: Connection reset by peer", "socket_closed_remotely"),
        ("OpenSSL SSL_read: Connection reset by peer, errno 104", "socket_closed_remotely"),
        ("Illegal or missing hexadecimal sequence in chunked-encoding", "bad_response"),
    ],
)
def test_a_response_that_breaks_off_is_told_from_one_that_is_unreadable(ca_bundle, text, kind):
    request = CurlRequest(ca_bundle, 1000, None)
    request.rest()
    request._goes_out()
    assert request.outcome(pycurl.E_RECV_ERROR, text).kind == kind
