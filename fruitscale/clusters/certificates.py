"""Makes the TLS certificate of one run: one key pair for all its machines, signed by a throwaway authority."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fruitscale.clusters.wheels import zipped
from fruitscale.errors import MissingExtraError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CLOCKS_APART = datetime.timedelta(hours=1)
RSA_BITS = 2048


@dataclass(frozen=True)
class KeyPair:
    """PEM files of a machine: the authority's certificate, its own certificate and its key."""

    authority: bytes
    certificate: bytes
    key: bytes

    def for_dask(self) -> dict[str, bytes]:
        """Return the files that Dask machines read, by name."""
        return {"ca.pem": self.authority, "cert.pem": self.certificate, "key.pem": self.key}

    def for_emr(self) -> dict[str, bytes]:
        """Return the zip file that an EMR security configuration requires, by name."""
        files = {
            "privateKey.pem": self.key,
            "certificateChain.pem": self.certificate + self.authority,
            "trustedCertificates.pem": self.authority,
        }
        return {"certificates.zip": zipped(files)}


def make(name: str, hosts: str, hours: float) -> KeyPair:
    """Make a run's key pair, valid for `hours`; `hosts` is its DNS name, wildcards allowed. Raises MissingExtraError."""
    try:
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
    except ModuleNotFoundError:
        raise MissingExtraError("cryptography", "clusters") from None
    authority_key = ec.generate_private_key(ec.SECP256R1())
    machine_key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)  # EMR requires RSA
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours) + CLOCKS_APART
    authority = _builder(f"{name} authority", f"{name} authority", authority_key.public_key(), until, hosts=None)
    machine = _builder(hosts, f"{name} authority", machine_key.public_key(), until, hosts=hosts)
    signed: list[Certificate] = [each.sign(authority_key, hashes.SHA256()) for each in (authority, machine)]
    pem = serialization.Encoding.PEM
    key = machine_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return KeyPair(signed[0].public_bytes(pem), signed[1].public_bytes(pem), key)


def _builder(subject: str, issuer: str, public_key: object, until: datetime.datetime, hosts: str | None):  # type: ignore[no-untyped-def]  # noqa: ANN202
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])

    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(public_key)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.now(datetime.UTC) - CLOCKS_APART)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=hosts is None, path_length=None), critical=True)
    )
    if hosts is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(hosts)]), critical=False)
    return builder
