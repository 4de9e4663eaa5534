"""Who may bring telephone calls: machines, because telephone peers have no keys. And whether they are there."""

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network

KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 20_000}
"""seconds until an idle connection is tested, and between tests; tests until it counts as broken; milliseconds
that what was sent may wait for the peer to read it, which nothing else limits once the call is over"""

MayCall = Callable[[str], bool]
"""Returns whether the machine at an IP address may bring calls."""


def may_call_from(networks: Sequence[str]) -> MayCall:
    """Return a check that an address is in one of these networks, such as `10.1.0.0/16`; none means any."""
    known = [ip_network(network, strict=False) for network in networks]

    def may_call(address: str) -> bool:
        if not known:
            return True
        try:
            parsed = ip_address(address)
        except ValueError:  # a socket without an address
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)  # IPv4 at a socket that accepts both
        return any((mapped or parsed) in network for network in known)

    return may_call


def notice_gone_peer(connection: socket.socket) -> None:
    """Have the system break a connection whose peer is gone or never reads; of a listening socket, all such."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if option := getattr(socket, name, None):  # not all systems have all of them
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
