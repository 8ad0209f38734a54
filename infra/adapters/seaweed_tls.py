"""Mutual TLS between the parts of the embedded store, so that its ports serve nobody else.

SeaweedFS's master, volume, filer and admin servers know no keys of their own: whoever reaches
their ports may read, write and erase everything. With these variables every one of them, HTTP
and gRPC, asks for a client certificate of an authority that exists for one start only; its key
is never written, so nobody can have another certificate signed.
"""

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.adapters.disk import make_directory

_GRPC = ("MASTER", "VOLUME", "FILER", "S3", "ADMIN", "WORKER", "CLIENT")
_HTTPS = ("MASTER", "VOLUME", "FILER", "ADMIN", "CLIENT")
_BEFORE = timedelta(days=3650)
"""A clock that was wrong at the start and is set back later must not stop the store."""
_AFTER = timedelta(days=36500)
"""Longer than any process runs: every start makes new certificates."""


def mutual_tls(folder: Path) -> dict[str, str]:
    """Make an authority and a certificate in `folder`. Returns the variables of `weed`.

    The files are `ca.pem`, `cert.pem` and `key.pem`, mode 0600. Older ones are replaced.
    """
    make_directory(folder, private=True)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _authority(authority_key)
    certificate = _certificate(key, authority, authority_key)
    files = {
        "ca": _write(folder / "ca.pem", authority.public_bytes(serialization.Encoding.PEM)),
        "cert": _write(folder / "cert.pem", certificate.public_bytes(serialization.Encoding.PEM)),
        "key": _write(folder / "key.pem", _pem(key)),
    }
    variables = {"WEED_GRPC_CA": files["ca"], "WEED_HTTPS_CLIENT_ENABLED": "true"}
    for part in _GRPC:
        variables |= {f"WEED_GRPC_{part}_{name.upper()}": files[name] for name in ("cert", "key")}
    for part in _HTTPS:
        variables |= {f"WEED_HTTPS_{part}_{name.upper()}": path for name, path in files.items()}
    return variables


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = _name("reelwright store authority")
    usage = x509.KeyUsage(
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
    return (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _certificate(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """One for all parts: they are one process, server and client of itself."""
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    return (
        _builder(_name("reelwright store"), authority.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _AFTER)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, data: bytes) -> str:
    """A new file, so that the mode is ours from its first byte on."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return str(path)
