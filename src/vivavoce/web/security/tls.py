"""TLS: which certificate a server has, and what becomes of a client that speaks plain HTTP to it."""

import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from vivavoce.config.schema import ServerTable
from vivavoce.dates import utc_now
from vivavoce.errors import ConfigError
from vivavoce.extras import missing_packages

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104
"""hosts that are all addresses of this machine"""
VIRTUAL = re.compile(r"(docker|br-|veth|virbr|vmnet|vbox|tun|tap|wg|utun|tailscale|zt)")
"""interfaces that lead to no phone in the house"""
PRIVATE_NETWORKS: Sequence[IPv4Network | IPv6Network] = [
    ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"),
        "100.64.0.0/10",  # carrier-grade NAT, and networks such as Tailscale's
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
]
HTTP_REQUEST = re.compile(rb"[A-Z]+ (?P<path>/[!-~]*) HTTP/1\.[01]\r\n")
HOST = re.compile(rb"\r\nhost: *(?P<host>[\w.:\[\]-]+)\r\n", re.IGNORECASE)


@dataclass
class Tls:
    """A server's certificate: its file, which also has the key, or with `key` in another."""

    context: ssl.SSLContext
    certificate: Path
    key: Path | None = None
    authority: bytes | None = None
    """certificate of our own authority, in DER, if it has signed this one"""

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, as browsers show it."""
        return fingerprint(first_certificate(self.certificate))

    def renew(self, server: ServerTable) -> None:
        """Have a certificate of our own cover what this machine is called now. Raises `ConfigError`."""
        renew_certificate(server)
        self.load()

    def load(self) -> None:
        """Load the certificate: new connections have it from now on. Raises `ConfigError`."""
        try:
            self.context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one
            files = " and ".join(str(path) for path in (self.certificate, self.key) if path)
            problem = f"The certificate and its key cannot be loaded from {files} ({error.strerror or error})"
            raise ConfigError(f"{problem}; both must be in PEM, without a password.") from error


def open_tls(server: ServerTable) -> Tls | None:
    """Return the TLS that the settings ask for; None if they do not. Makes a certificate if none is named.

    Raises `ConfigError`.
    """
    if server.certificate:
        tls = Tls(_context(), server.certificate, server.certificate_key)
    elif server.https:
        if missing := ", ".join(missing_packages("https")):
            write = "write: pip install 'vivavoce[https]', or name a certificate with --certificate"
            raise ConfigError(f"HTTPS with a certificate of its own needs {missing}; {write}.")
        from vivavoce.web.security.certificates import authority_of

        certificate = renew_certificate(server)
        tls = Tls(_context(), certificate, authority=authority_of(certificate.parent))
    else:
        return None
    tls.load()
    return tls


def renew_certificate(server: ServerTable) -> Path:
    """Have a certificate of our own for what this machine is called now. Raises `ConfigError`."""
    from vivavoce.web.security.certificates import ensure_certificate

    return ensure_certificate(server.own_certificate.parent, machine_names(server), utc_now())


def machine_names(server: ServerTable) -> Sequence[str]:
    """Return the names and addresses under which this machine may be reached, its own name last."""
    host = socket.gethostname().lower()
    names = ["localhost", "127.0.0.1", "::1", *local_addresses(), *server.hosts]
    if not server.is_local:
        names.append(server.host)
    if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", host):
        names += [host, f"{host.partition('.')[0]}.local", host.partition(".")[0]]
    return [name for name in dict.fromkeys(names) if name not in EVERYWHERE]


def reachable_hosts(server: ServerTable) -> Sequence[str]:
    """Return the hosts for addresses of a server, those first by which a phone is likely to reach it."""
    hosts: Sequence[str] = [server.host]
    if server.host in EVERYWHERE and not missing_packages("https"):
        hosts = [one for one in local_addresses() if ":" not in one or server.host == "::"] or hosts
    return [f"[{host}]" if ":" in host else host for host in hosts]


def local_addresses() -> Sequence[str]:
    """Return this machine's addresses in its networks, those first by which a phone is likely to reach it."""
    from ifaddr import get_adapters

    found: dict[str, tuple[bool, bool, bool]] = {}
    for adapter in get_adapters():
        for one in adapter.ips:
            text = one.ip if isinstance(one.ip, str) else one.ip[0]
            address = ip_address(text)
            is_private = any(address in network for network in PRIVATE_NETWORKS)
            if not (address.is_loopback or address.is_link_local):  # the latter need an interface
                found[text] = bool(VIRTUAL.match(adapter.nice_name)), not is_private, not one.is_IPv4
    return sorted(found, key=found.__getitem__)


def trusting(certificate: Path) -> ssl.SSLContext:
    """Return what trusts the certificate in a file, under any name, and no other. Raises `ConfigError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=first_certificate(certificate))
    return context


def first_certificate(path: Path) -> bytes:
    """Return the first certificate of a file, in DER. Raises `ConfigError`."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
        found = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)
        if found is None:
            raise ValueError("it has no certificate in PEM")
        return ssl.PEM_cert_to_DER_cert(found[0])
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate (DER), in the usual form."""
    return sha256(certificate).digest().hex(":").upper()


# clients that speak plain HTTP


class _Context(ssl.SSLContext):
    """Makes connections that explain themselves to plain HTTP."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        connection = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(connection, _Connection):
            connection.incoming, connection.outgoing = incoming, outgoing
        return connection


class _Connection(ssl.SSLObject):
    """Answers a request in plain HTTP with where to go, in place of a handshake that fails without a word."""

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    _is_plain = False

    def do_handshake(self) -> None:
        """Begin or go on with the handshake."""
        if not self._is_plain and self.version() is None:
            received = self.incoming.read()
            if response := explain(received):
                self._is_plain = True
                self.outgoing.write(response)
            elif received:
                self.incoming.write(received)
        if self._is_plain:
            raise ssl.SSLWantReadError  # the response is sent; the client closes the connection, or time does
        super().do_handshake()


_Context.sslobject_class = _Connection


def _context() -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def explain(received: bytes) -> bytes | None:
    """Return the response to a request in plain HTTP; None for anything else, such as a TLS handshake."""
    request = HTTP_REQUEST.match(received)
    if request is None:
        return None
    host, location = HOST.search(received), ""
    if host:
        location = f"https://{host['host'].decode()}{request['path'].decode()}"
    body = f"This port speaks HTTPS; write {location or 'https:// in place of http://'}\n"
    lines = [
        "HTTP/1.1 307 Temporary Redirect" if location else "HTTP/1.1 400 Bad Request",
        *([f"Location: {location}"] if location else []),
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", body]).encode()
