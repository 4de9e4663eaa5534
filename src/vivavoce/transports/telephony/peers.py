"""Who may bring telephone calls: machines, because telephone peers have no keys."""

from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network

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
