"""The emulator's own authority: private keys, Azure's names alone, and a bundle that keeps what was trusted."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bankmlops.emulator.web import certificates
from bankmlops.emulator.web.certificates import Certificates, prepare_certificates


def _handshake(server: Path, key: Path, bundle: Path, name: str) -> None:
    """A TLS handshake in memory; raises where the client does not accept the certificate."""
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(server, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context(cafile=str(bundle))
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    host = serving.wrap_bio(to_server, to_client, server_side=True)
    done = set()
    while len(done) < 2:
        for side in (client, host):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue


def test_what_can_be_read_by_whom(tmp_path: Path) -> None:
    """The folder is 0700, every file 0600."""
    files = prepare_certificates(tmp_path / "certificates", {})
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.folder.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "name",
    ["management.azure.com", "login.microsoftonline.com", "any.blob.core.windows.net", "localhost", "127.0.0.1"],
)
def test_names_that_it_stands_for(tmp_path: Path, name: str) -> None:
    """A client that trusts the bundle accepts the emulator under each of Azure's names and this machine's."""
    files = prepare_certificates(tmp_path, {})
    _handshake(files.server, files.server_key, files.bundle, name)


@pytest.mark.parametrize("name", ["example.com", "azure.com", "blob.core.windows.net", "a.b.blob.core.windows.net"])
def test_names_that_it_does_not_stand_for(tmp_path: Path, name: str) -> None:
    """It is accepted under no other."""
    files = prepare_certificates(tmp_path, {})
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(files.server, files.server_key, files.bundle, name)


def test_a_stolen_authority_signs_for_no_other_name(tmp_path: Path) -> None:
    """Even a certificate that the authority's own key signed is refused for a name that is not Azure's."""
    files = prepare_certificates(tmp_path, {})
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    authority_key = serialization.load_pem_private_key(files.authority_key.read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank.example")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("bank.example")]), critical=False)
        .sign(authority_key, hashes.SHA256())  # type: ignore[arg-type]
    )
    (tmp_path / "forged.pem").write_bytes(forged.public_bytes(serialization.Encoding.PEM))
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "forged.key").write_bytes(key.private_bytes(*encoding))
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(tmp_path / "forged.pem", tmp_path / "forged.key", files.bundle, "bank.example")


def test_they_last(tmp_path: Path) -> None:
    """A second start keeps authority and certificate, so that clients that trust them go on."""
    first = prepare_certificates(tmp_path, {})
    before = {path: path.read_bytes() for path in (first.authority, first.server, first.server_key)}
    prepare_certificates(tmp_path, {})
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("damage", ["authority", "authority_key", "server", "server_key"])
def test_they_are_mended(tmp_path: Path, damage: str) -> None:
    """A damaged certificate or a lost key is made anew, and all fit together again."""
    files: Certificates = prepare_certificates(tmp_path, {})
    path: Path = getattr(files, damage)
    path.unlink() if damage.endswith("key") else path.write_text("damaged")
    prepare_certificates(tmp_path, {})
    _handshake(files.server, files.server_key, files.bundle, "management.azure.com")


def test_they_are_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's certificate that is about to expire is made anew under the same authority."""
    monkeypatch.setattr(certificates, "SERVER_DAYS", 5)
    files = prepare_certificates(tmp_path, {})
    authority, server = files.authority.read_bytes(), files.server.read_bytes()
    monkeypatch.undo()
    prepare_certificates(tmp_path, {})
    assert files.authority.read_bytes() == authority
    assert files.server.read_bytes() != server


def test_the_bundle_keeps_what_was_trusted(tmp_path: Path) -> None:
    """It holds the user's own bundle, or else the usual authorities; ours stands in it once, however often it is made."""
    company = tmp_path / "company.pem"
    company.write_bytes(prepare_certificates(tmp_path / "company", {}).authority.read_bytes())
    files = prepare_certificates(tmp_path / "own", {"REQUESTS_CA_BUNDLE": str(company)})
    ours = files.authority.read_bytes()
    assert files.bundle.read_bytes() == company.read_bytes() + ours
    again = prepare_certificates(tmp_path / "own", {"REQUESTS_CA_BUNDLE": str(files.bundle), "SSL_CERT_FILE": str(company)})
    assert again.bundle.read_bytes() == company.read_bytes() + ours
    usual = prepare_certificates(tmp_path / "own", {"SSL_CERT_FILE": str(files.bundle)}).bundle.read_bytes()
    assert usual.count(b"BEGIN CERTIFICATE") > 100
    assert usual.count(ours) == 1
