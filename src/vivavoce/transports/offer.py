"""What somebody offers who wants to call by WebRTC (SDP, RFC 8866), as far as we can judge it by ourselves."""

import re
from dataclasses import dataclass

from vivavoce.errors import ProtocolError

__all__ = ["Ice", "check_offer", "largest_message", "wrong_offer"]

_LINE = re.compile(r"[a-z]=.*")
_NEEDED = {
    "m=audio ": "it offers no audio",
    "m=application ": "it offers no data channel; create one ('oai-events') before the offer",
    "a=ice-ufrag:": "it has no ICE credentials",
    "a=fingerprint:": "it has no DTLS fingerprint",
}
_MAX_MESSAGE = re.compile(r"^a=max-message-size:(\d{1,9})\s*$", re.MULTILINE)
_MAX_MESSAGE_UNSAID = 65536
"""bytes that one message on a data channel may have where the offer does not say (RFC 8841, section 6)"""


@dataclass(frozen=True)
class Ice:
    """Servers that help to find a way between us and a caller: at most one of each kind."""

    stun: str | None = None
    turn: str | None = None
    turn_username: str | None = None
    turn_credential: str | None = None


def wrong_offer(why: str) -> ProtocolError:
    """The offer is none, or none for us."""
    return ProtocolError(f"The SDP offer cannot be taken: {why}.", code="invalid_offer", param="sdp")


def check_offer(sdp: str) -> None:
    """Raise `ProtocolError` if this is not an offer of audio and a data channel."""
    lines = sdp.splitlines()
    if not lines or lines[0].strip() != "v=0" or not all(_LINE.fullmatch(line) for line in lines if line):
        raise wrong_offer("it is not SDP")
    for start, lack in _NEEDED.items():
        if not any(line.startswith(start) for line in lines):
            raise wrong_offer(lack)
    known = {name for line in lines for name in _after("a=mid:", line)}
    if not all(name in known for line in lines for name in _after("a=group:BUNDLE", line)):
        raise wrong_offer("it bundles media that are not in it")


def _after(start: str, line: str) -> list[str]:
    return line.removeprefix(start).split() if line.startswith(start) else []


def largest_message(sdp: str) -> int:
    """Return how many bytes one of our messages may have; 0 is any number."""
    said = _MAX_MESSAGE.search(sdp)
    return int(said[1]) if said else _MAX_MESSAGE_UNSAID
