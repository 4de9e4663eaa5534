"""Certificates for a server on a local network, which no public authority can give: one of its own signs them.

The authority is kept, so that a phone that trusts it once trusts every later certificate, too. It can sign for
names and addresses of private networks only (name constraints, RFC 5280, section 4.2.1.10): whoever steals its
key cannot pretend to be any other server.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vivavoce.errors import ConfigError
from vivavoce.web.security.private_files import write_private
from vivavoce.web.security.tls import PRIVATE_NETWORKS

AUTHORITY, SERVER = "authority.pem", "server.pem"
"""files of the folder, each with a key and its certificate"""
AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
"""iOS accepts at most 825 days of an authority that its owner has added"""
RENEWAL_DAYS = 30
"""days before its end in which a certificate is renewed"""
EARLIER = timedelta(days=1)
"""certificates are valid since then, for phones whose clock is slow"""
PRIVATE_DOMAINS = ("localhost", "local", "home.arpa", "internal", "lan")


@dataclass(frozen=True)
class SignedKey:
    """A private key, and the certificate of its public one."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read one from a file; None if there is none. Raises `ConfigError` if it is damaged."""
        try:
            content = path.read_bytes()
            key = load_pem_private_key(content, None)
            certificate = x509.load_pem_x509_certificate(content)
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = f"{path} cannot be read ({error.strerror})"
            raise ConfigError(f"{problem}; name another folder in [server] data.") from error
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} cannot be read ({error}); delete it, and another is made.") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"{path} has a key of another kind; delete it, and another is made.")
        return cls(key, certificate)

    def write(self, path: Path) -> None:
        """Write it into a file that only its owner can read."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(path, key + self.certificate.public_bytes(Encoding.PEM))

    def is_valid(self, now: datetime, days: int) -> bool:
        """Return whether it is valid, and will be for some days."""
        certificate = self.certificate
        return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - timedelta(days=days)


def ensure_certificate(folder: Path, names: Iterable[str], now: datetime) -> Path:
    """Return the file with a certificate for names and addresses, and its key; make or renew it if necessary.

    Names for which the authority cannot sign are left out. Raises `ConfigError`.
    """
    authority = SignedKey.read(folder / AUTHORITY)
    if authority is None or not authority.is_valid(now, SERVER_DAYS):
        authority = _authority(now, names)
        authority.write(folder / AUTHORITY)
    covered = [name for name in dict.fromkeys(names) if _may_sign(authority.certificate, name)]
    server = SignedKey.read(folder / SERVER)
    if server is None or not _is_current(server, authority, covered, now):
        _server(authority, covered, now).write(folder / SERVER)
    return folder / SERVER


def authority_of(folder: Path) -> bytes:
    """Return the authority's certificate, in DER. Raises `ConfigError` if there is none."""
    if authority := SignedKey.read(folder / AUTHORITY):
        return authority.certificate.public_bytes(Encoding.DER)
    raise ConfigError(f"{folder / AUTHORITY} is missing; viva serve --https makes it.")


def _is_current(server: SignedKey, authority: SignedKey, names: Sequence[str], now: datetime) -> bool:
    alternatives = server.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        server.is_valid(now, RENEWAL_DAYS)
        and server.certificate.issuer == authority.certificate.subject
        and set(names) <= {str(name.value) for name in alternatives}
    )


def _authority(now: datetime, names: Iterable[str]) -> SignedKey:
    own = [name for name in names if _address(name) is None and "." not in name]
    permitted = [x509.DNSName(name) for name in dict.fromkeys((*PRIVATE_DOMAINS, *own))]
    networks = [x509.IPAddress(network) for network in PRIVATE_NETWORKS]
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "vivavoce"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"vivavoce on {own[-1] if own else 'this machine'}"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}"[:16]),  # another authority, another name
        ]
    )
    usage = _usage(key_cert_sign=True, crl_sign=True)
    builder = (
        _builder(subject, subject, key, now, AUTHORITY_DAYS)
        .serial_number(serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints([*permitted, *networks], None), critical=True)
    )
    return SignedKey(key, builder.sign(key, SHA256()))


def _server(authority: SignedKey, names: Sequence[str], now: datetime) -> SignedKey:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vivavoce")])
    general = [
        x509.DNSName(name) if (address := _address(name)) is None else x509.IPAddress(address) for name in names
    ]
    issuer = authority.key.public_key()
    builder = (
        _builder(subject, authority.certificate.subject, key, now, SERVER_DAYS)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(general), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
    )
    return SignedKey(key, builder.sign(authority.key, SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now - EARLIER + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(**wanted: bool) -> x509.KeyUsage:
    kinds = "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
    kinds += " key_cert_sign crl_sign encipher_only decipher_only"
    return x509.KeyUsage(**{kind: wanted.get(kind, False) for kind in kinds.split()})


def _may_sign(authority: x509.Certificate, name: str) -> bool:
    """Return whether the authority's constraints permit a name or an address."""
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    permitted = [one.value for one in constraints.permitted_subtrees or ()]
    if (address := _address(name)) is not None:
        return any(address in one for one in permitted if isinstance(one, IPv4Network | IPv6Network))
    return any(name == one or name.endswith(f".{one}") for one in permitted)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
