"""Addresses of machines and HTTP services, as settings name them."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit


def is_plain(text: str) -> bool:
    """Return whether a text consists of printable ASCII characters."""
    return text.isascii() and text.isprintable()


def http_address(text: str) -> SplitResult:
    """Return the parts of an http or https address. Raises `ValueError` with a sentence if it is none.

    A key does not belong in an address, so a user is refused; so is a fragment, which is never sent.
    """
    shown = re.sub("//[^/]*@", "//", text)  # without a password
    problem = f"{shown!r} is not an http or https address"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:  # a port that is no number, or too high; brackets without an IPv6 address
        named = "IPv6" in str(error) or "[" in text
        why = "what is in brackets is no IPv6 address" if named else "its port is none"
        raise ValueError(f"{problem}: {why}") from error
    is_named = parts.scheme in ("http", "https") and parts.hostname and port != 0
    if not is_named or not is_plain(text) or set(" \\") & set(text):
        raise ValueError(problem)
    if parts.username is not None or parts.fragment:
        raise ValueError("an address has no user and no fragment here; write a key into headers")
    return parts


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
