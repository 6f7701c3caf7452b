"""A certificate authority of this emulator's own, good for Azure's names alone, and the bundle that has clients trust it.

Nothing of it enters the system's trust store: a client trusts it because an environment variable names the bundle.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bankmlops.emulator.files import write_private
from bankmlops.emulator.instance import AZURE_HOSTS, BLOB_SUFFIX

AUTHORITY_DAYS = 3650
SERVER_DAYS = 390
RENEWAL_DAYS = 30
BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_LOOPBACK = IPv4Address("127.0.0.1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the files are; the keys can be read by their owner alone (0600)."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"

    @property
    def authority_key(self) -> Path:
        return self.folder / "authority.key"

    @property
    def server(self) -> Path:
        return self.folder / "server.pem"

    @property
    def server_key(self) -> Path:
        return self.folder / "server.key"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle.pem"


def prepare_certificates(folder: Path, environ: Mapping[str, str] = os.environ) -> Certificates:
    """Make in `folder` what is missing or about to expire, and the bundle anew: what was trusted before, and our authority."""
    folder.mkdir(mode=0o700, exist_ok=True)
    files = Certificates(folder)
    if not _is_good(files.authority, files.authority_key):
        _write_authority(files)
        files.server.unlink(missing_ok=True)
    if not _is_good(files.server, files.server_key):
        _write_server(files)
    write_private(files.bundle, b"".join([*_trusted(environ, files.bundle), files.authority.read_bytes()]))
    return files


def _is_good(certificate: Path, key: Path) -> bool:
    try:
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
        return key.exists() and loaded.not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEWAL_DAYS)
    except (OSError, ValueError):
        return False


def _trusted(environ: Mapping[str, str], own: Path) -> list[bytes]:
    """The authorities that clients trusted until now: the environment's bundles, or else Python's and the system's."""
    named = [Path(environ[name]) for name in BUNDLE_VARIABLES if environ.get(name)]
    paths = [path for path in named if path.is_file() and path != own] or _default_bundles()
    return [path.read_bytes().rstrip(b"\n") + b"\n" for path in dict.fromkeys(paths)]


def _default_bundles() -> list[Path]:
    import certifi

    system = ssl.get_default_verify_paths().cafile
    return [Path(certifi.where()), *([Path(system)] if system else [])]


def _write_authority(files: Certificates) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("bankmlops emulator (this machine alone)")
    key_usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage, critical=True)
        .add_extension(_constraints(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    _write_key(files.authority_key, key)
    write_private(files.authority, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _constraints() -> x509.NameConstraints:
    """Whoever got hold of the authority's key could still sign for no other name."""
    names = (*sorted(AZURE_HOSTS), BLOB_SUFFIX.lstrip("."), "localhost")
    allowed: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    return x509.NameConstraints([*allowed, x509.IPAddress(IPv4Network((_LOOPBACK, 32)))], None)


def _write_server(files: Certificates) -> None:
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    authority_key = serialization.load_pem_private_key(files.authority_key.read_bytes(), None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{files.authority_key} is no key of an elliptic curve")
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in (*sorted(AZURE_HOSTS), f"*{BLOB_SUFFIX}", "localhost")]
    builder = (
        _builder(_name("bankmlops emulator"), authority.subject, key, SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName([*names, x509.IPAddress(_LOOPBACK)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    _write_key(files.server_key, key)
    write_private(files.server, builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    moment = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=days))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(path, text)
