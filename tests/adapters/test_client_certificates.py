"""The certificates that hooks name: whose they are, and what is said of unusable ones."""

import pytest

from callboard.adapters.http.client_certificates import (
    ClientCertificates,
    NoCertificateError,
    certificate_path,
)

ACCOUNT = "1111111111111111111111111111aaaa"


@pytest.fixture
def folder(tmp_path):
    for name in ("shop.pem", "ca.pem", f"{ACCOUNT}/shop.pem", f"{ACCOUNT}/own.pem"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no certificate")
    return tmp_path


@pytest.mark.parametrize(
    ("account", "name", "found"),
    [
        (ACCOUNT, "shop.pem", f"{ACCOUNT}/shop.pem"),
        (ACCOUNT, "own.pem", f"{ACCOUNT}/own.pem"),
        (ACCOUNT, "ca.pem", "ca.pem"),
        ("2" * 32, "shop.pem", "shop.pem"),
        ("..", "shop.pem", "shop.pem"),
        ("", "shop.pem", "shop.pem"),
    ],
)
def test_an_accounts_own_file_comes_before_that_of_all(folder, account, name, found):
    assert certificate_path(folder, account, name) == folder / found


@pytest.mark.parametrize(
    ("account", "name", "reason"),
    [
        ("2" * 32, "own.pem", "the folder delivery.client_certificates has no such file"),
        (ACCOUNT, ACCOUNT, "the folder delivery.client_certificates has no such file"),
        *(
            (ACCOUNT, name, "is no name of a certificate")
            for name in (
                "",
                ".",
                "..",
                ".pem",
                "../shop.pem",
                f"{ACCOUNT}/own.pem",
                "-a",
                "a b",
                "a\n",
            )
        ),
    ],
)
def test_another_name_leads_to_no_file(folder, account, name, reason):
    with pytest.raises(NoCertificateError) as problem:
        certificate_path(folder, account, name)
    assert str(problem.value).startswith(f"client_certificate {name!r}")
    assert str(problem.value).endswith(reason)


def test_a_node_without_a_folder_says_what_to_set():
    with pytest.raises(NoCertificateError, match=r"none \(delivery.client_certificates\)$"):
        certificate_path(None, ACCOUNT, "shop.pem", "ca_bundle")


@pytest.mark.parametrize(
    ("certificate", "ca", "named"),
    [
        ("shop.pem", None, "client_certificate 'shop.pem': "),
        (None, "ca.pem", "ca_bundle 'ca.pem': "),
        ("shop.pem", "ca.pem", "client_certificate 'shop.pem', ca_bundle 'ca.pem': "),
    ],
)
def test_files_that_cannot_be_read_are_named(folder, certificate, ca, named):
    certificates = ClientCertificates(folder=folder)
    with pytest.raises(NoCertificateError) as problem:
        certificates.profile(ACCOUNT, certificate, ca, verify=True)
    assert str(problem.value).startswith(named)


def test_a_hook_with_nothing_of_its_own_has_the_nodes_tls(folder):
    certificates = ClientCertificates(folder=folder)
    assert certificates.profile(ACCOUNT, None, None, verify=True) is None
    unverified = certificates.profile(ACCOUNT, None, "ca.pem", verify=False)
    assert (unverified.ca, unverified.pem, unverified.verify) == (None, None, False)
    assert unverified.context.verify_mode == 0
    assert not unverified.context.check_hostname
