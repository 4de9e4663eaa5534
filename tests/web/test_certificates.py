"""The certificates that a server makes for itself."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from vivavoce.config.schema import ServerTable
from vivavoce.errors import ConfigError
from vivavoce.web.security.certificates import AUTHORITY, SERVER, SignedKey, ensure_certificate
from vivavoce.web.security.tls import explain, fingerprint, first_certificate, machine_names, open_tls

NOW = datetime(2026, 11, 30, tzinfo=UTC)
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
NAMES = ["localhost", "127.0.0.1", "192.168.1.5", "fd00::2", "desk", "desk.local"]


def read(folder: Path, name: str = SERVER) -> x509.Certificate:
    found = SignedKey.read(folder / name)
    assert found
    return found.certificate


def covered(folder: Path) -> set[str]:
    extension = read(folder).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}


def verify(folder: Path, name: str, now: datetime = NOW) -> None:
    """Verify the certificate as a client does. Raises `VerificationError`."""
    builder = PolicyBuilder().store(Store([read(folder, AUTHORITY)])).time(now)
    try:
        verifier = builder.build_server_verifier(x509.IPAddress(ip_address(name)))
    except ValueError:
        verifier = builder.build_server_verifier(x509.DNSName(name))
    verifier.verify(read(folder), [])


def test_whoever_trusts_the_authority_trusts_the_server_under_all_its_names(tmp_path: Path) -> None:
    assert ensure_certificate(tmp_path, NAMES, NOW) == tmp_path / SERVER
    assert covered(tmp_path) == set(NAMES)
    for name in NAMES:
        verify(tmp_path, name)
    with pytest.raises(VerificationError):
        verify(tmp_path, "192.168.1.6")


def test_only_the_owner_can_read_the_keys(tmp_path: Path) -> None:
    folder = tmp_path / "https"
    ensure_certificate(folder, NAMES, NOW)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in folder.iterdir()) == [AUTHORITY, SERVER]
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_authority_signs_for_private_networks_only(tmp_path: Path) -> None:
    public = ["voice.example.org", "203.0.113.5", "2001:db8::1", "evil-desk.org", "notlocal"]
    ensure_certificate(tmp_path, [*NAMES, "kitchen.lan", *public], NOW)
    assert covered(tmp_path) == {*NAMES, "kitchen.lan", "notlocal"}, "a name without a dot is of this machine"


def test_whoever_steals_the_authoritys_key_cannot_pretend_to_be_a_bank(tmp_path: Path) -> None:
    ensure_certificate(tmp_path, NAMES, NOW)
    stolen = SignedKey.read(tmp_path / AUTHORITY)
    assert stolen
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("bank.example"), x509.IPAddress(ip_address("203.0.113.5"))]
    forged = (
        x509.CertificateBuilder(stolen.certificate.subject, x509.Name([]), key.public_key(), 1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(stolen.key.public_key()), critical=False
        )
    )
    SignedKey(key, forged.sign(stolen.key, SHA256())).write(tmp_path / SERVER)
    for name in ("bank.example", "203.0.113.5"):
        with pytest.raises(VerificationError, match="permitted"):
            verify(tmp_path, name)


def test_a_certificate_is_kept_as_long_as_it_is_right(tmp_path: Path) -> None:
    ensure_certificate(tmp_path, NAMES, NOW)
    before = (tmp_path / SERVER).read_bytes()
    for names in (NAMES, NAMES[:3]):
        ensure_certificate(tmp_path, names, NOW + timedelta(days=300))
        assert (tmp_path / SERVER).read_bytes() == before


@pytest.mark.parametrize(
    ("names", "days"), [(NAMES, 370), ([*NAMES, "192.168.7.7"], 1)], ids=["near its end", "another address"]
)
def test_a_certificate_is_renewed_by_the_same_authority(tmp_path: Path, names: list[str], days: int) -> None:
    ensure_certificate(tmp_path, NAMES, NOW)
    before, authority = read(tmp_path), read(tmp_path, AUTHORITY)
    later = NOW + timedelta(days=days)
    ensure_certificate(tmp_path, names, later)
    assert read(tmp_path) != before
    assert read(tmp_path, AUTHORITY) == authority
    verify(tmp_path, names[-1], later)


def test_an_authority_that_ends_before_its_certificates_is_replaced(tmp_path: Path) -> None:
    ensure_certificate(tmp_path, NAMES, NOW)
    authority = read(tmp_path, AUTHORITY)
    later = NOW + timedelta(days=3300)
    ensure_certificate(tmp_path, NAMES, later)
    assert read(tmp_path, AUTHORITY).subject != authority.subject
    verify(tmp_path, "desk.local", later)


def test_phones_accept_how_long_it_is_valid(tmp_path: Path) -> None:
    ensure_certificate(tmp_path, NAMES, NOW)
    certificate = read(tmp_path)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(days=825)
    assert certificate.not_valid_before_utc < NOW, "a clock may be slow"


@pytest.mark.parametrize(
    "content", [b"", b"not PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    ensure_certificate(tmp_path, NAMES, NOW)
    for name in (AUTHORITY, SERVER):
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=rf"{name} cannot be read .* delete it"):
            ensure_certificate(tmp_path, NAMES, NOW)
        (tmp_path / name).write_bytes(kept)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match=r"cannot be read .* \[server\] data"):
        ensure_certificate(tmp_path / "file", NAMES, NOW)


# a server's settings


def test_without_https_there_is_no_certificate(tmp_path: Path) -> None:
    assert open_tls(ServerTable(data=tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


def test_a_server_has_a_certificate_for_this_machine_and_for_its_hosts(tmp_path: Path) -> None:
    server = ServerTable(data=tmp_path, https=True, hosts=("kitchen.lan",))
    tls = open_tls(server)
    assert tls
    certificate = read(tmp_path / "https")
    assert tls.fingerprint == certificate.fingerprint(SHA256()).hex(":").upper()
    assert tls.authority == read(tmp_path / "https", AUTHORITY).public_bytes(Encoding.DER)
    assert {"localhost", "127.0.0.1", "::1", "kitchen.lan"} <= {
        str(name) for name in covered(tmp_path / "https")
    }
    assert "0.0.0.0" not in machine_names(ServerTable(data=tmp_path, https=True, host="0.0.0.0"))  # noqa: S104


def test_a_certificate_that_is_named_is_used_as_it_is(tmp_path: Path) -> None:
    ensure_certificate(tmp_path, NAMES, NOW)
    text = (tmp_path / SERVER).read_text()
    (tmp_path / "key.pem").write_text(text[: text.index("-----BEGIN CERTIFICATE")])
    (tmp_path / "chain.pem").write_text(text[text.index("-----BEGIN CERTIFICATE") :])
    server = ServerTable(
        data=tmp_path / "data", certificate=tmp_path / "chain.pem", certificate_key=tmp_path / "key.pem"
    )
    tls = open_tls(server)
    assert tls
    assert tls.authority is None
    assert tls.fingerprint == fingerprint(ssl.PEM_cert_to_DER_cert((tmp_path / "chain.pem").read_text()))
    assert not (tmp_path / "data").exists()
    for wrong in (tmp_path / "nowhere.pem", tmp_path / "key.pem"):
        with pytest.raises(ConfigError, match=rf"cannot be loaded from {wrong}"):
            open_tls(ServerTable(certificate=wrong))
    with pytest.raises(ConfigError, match="no certificate in PEM"):
        first_certificate(tmp_path / "key.pem")


# plain HTTP


def test_plain_http_is_sent_to_https() -> None:
    for path in (b"/", b"/v1/realtime?model=x", b"/v1/audio/speech"):
        answer = explain(b"POST " + path + b" HTTP/1.1\r\nUser-Agent: x\r\nHOST: desk.local:8765\r\n\r\n{}")
        assert answer
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 307 ")
        assert b"\r\nLocation: https://desk.local:8765" + path + b"\r\n" in head
        assert b"https://desk.local:8765" in body
        assert f"\r\nContent-Length: {len(body)}\r\n".encode() in head


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\nb\r\n\r\n", b"GET /x HTTP/1.1\r\nHo"]
)
def test_plain_http_without_a_host_is_told_what_to_write(request_: bytes) -> None:
    answer = explain(request_)
    assert answer
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Location" not in answer
    assert b"https://" in answer


@pytest.mark.parametrize(
    "received", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET", b"GET /", b"SSH-2.0-x\r\n", b"\x00" * 999]
)
def test_what_is_no_http_is_left_to_tls(received: bytes) -> None:
    assert explain(received) is None
