"""What somebody offers who wants to call by WebRTC (SDP, RFC 8866), as far as we can judge it by ourselves."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vivavoce.errors import ProtocolError

__all__ = ["Ice", "check_offer", "largest_message", "taken", "with_refusals", "wrong_offer"]

_LINE = re.compile(r"[a-z]=.*")
_SECTION = re.compile(r"^(?=m=)", re.MULTILINE)
_KNOWN = re.compile(r"^a=rtpmap:\d+ (opus|VP8)/", re.MULTILINE | re.IGNORECASE)
"""what can be agreed upon: Opus to talk, and for video the codec that all have, to leave it off by agreement"""
_MEDIA = {
    "audio": "it offers no audio; audio must be Opus",
    "application": "it offers no data channel; create one ('oai-events') before the offer",
}
_NEEDED = {
    "a=ice-ufrag:": "it has no ICE credentials",
    "a=fingerprint:": "it has no DTLS fingerprint",
}
_REFUSED = re.compile(r"m=\S+ 0 ")
_HIDDEN = re.compile(r"a=candidate:.*\.local |a=end-of-candidates")
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
    sections = _SECTION.split(sdp)[1:]
    kinds = [_kind(sections[number]) for number in _taken(sections)]
    for kind, lack in _MEDIA.items():
        if kind not in kinds:
            raise wrong_offer(lack)
    for start, lack in _NEEDED.items():
        if not any(line.startswith(start) for line in lines):
            raise wrong_offer(lack)
    known = {name for line in lines for name in _after("a=mid:", line)}
    if not all(name in known for line in lines for name in _after("a=group:BUNDLE", line)):
        raise wrong_offer("it bundles media that are not in it")


def taken(sdp: str) -> str:
    """Return what of an offer can be agreed upon, and let whoever calls find us.

    Candidates under an mDNS name are left out: to look one up takes a second, mostly in vain, and who hides
    behind it finds us sooner. So is the end of the candidates: who has told us none that we could try would be
    given up before they have our answer.
    """
    head, *sections = _SECTION.split(sdp)
    ours = [sections[number] for number in _taken(sections)]
    mids = {mid for section in ours for mid in _mid(section)}
    lines = "".join([head, *ours]).splitlines(keepends=True)
    return "".join(_bundle(line, mids) for line in lines if not _HIDDEN.match(line))


def with_refusals(answer: str, offer: str) -> str:
    """Return the answer to all of an offer, given that to what is `taken` of it: the rest is refused.

    An answer has as many media as the offer, in its order; what is refused has port 0 (RFC 3264, section 6).
    """
    head, *answers = _SECTION.split(answer)
    sections = _SECTION.split(offer)[1:]
    given = dict(zip(_taken(sections), answers, strict=True))
    return head + "".join(given.get(number) or _refusal(section) for number, section in enumerate(sections))


def _taken(sections: Sequence[str]) -> list[int]:
    taken: list[int] = []
    for number, section in enumerate(sections):
        refused = _REFUSED.match(section) and "a=bundle-only" not in section
        known = _kind(section) == "application" or _KNOWN.search(section)
        if known and not refused:
            taken.append(number)
    return taken


def _kind(section: str) -> str:
    return section.removeprefix("m=").partition(" ")[0]


def _mid(section: str) -> list[str]:
    return [name for line in section.splitlines() for name in _after("a=mid:", line)]


def _bundle(line: str, mids: set[str]) -> str:
    names = _after("a=group:BUNDLE", line)
    return f"a=group:BUNDLE {' '.join(name for name in names if name in mids)}\r\n" if names else line


def _refusal(section: str) -> str:
    kind, _, rest = section.partition("\n")[0].strip().split(" ", 2)
    lines = [f"{kind} 0 {rest}", "c=IN IP4 0.0.0.0", "a=inactive", *(f"a=mid:{mid}" for mid in _mid(section))]
    return "".join(f"{line}\r\n" for line in lines)


def _after(start: str, line: str) -> list[str]:
    return line.removeprefix(start).split() if line.startswith(start) else []


def largest_message(sdp: str) -> int:
    """Return how many bytes one of our messages may have; 0 is any number."""
    said = _MAX_MESSAGE.search(sdp)
    return int(said[1]) if said else _MAX_MESSAGE_UNSAID
