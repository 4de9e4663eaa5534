"""SDP offers (RFC 8866): validation, reduction to what can be negotiated, and completion of answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vivavoce.errors import ProtocolError

_LINE = re.compile(r"[a-z]=.*")
_SECTION = re.compile(r"^(?=m=)", re.MULTILINE)
_SUPPORTED = re.compile(r"^a=rtpmap:\d+ (opus|VP8)/", re.MULTILINE | re.IGNORECASE)
"""supported codecs: Opus, and VP8, which all clients have, so that video can be set to inactive"""
_REQUIRED_MEDIA = {
    "audio": "it offers no audio; audio must be Opus",
    "application": "it offers no data channel; create one ('oai-events') before the offer",
}
_REQUIRED_LINES = {
    "a=ice-ufrag:": "it has no ICE credentials",
    "a=fingerprint:": "it has no DTLS fingerprint",
}
_REJECTED = re.compile(r"m=\S+ 0 ")
_MDNS = re.compile(r"a=candidate:.*\.local |a=end-of-candidates")
_MAX_MESSAGE_SIZE = re.compile(r"^a=max-message-size:(\d{1,9})\s*$", re.MULTILINE)
_DEFAULT_MAX_MESSAGE_SIZE = 65536
"""for an offer without this attribute (RFC 8841, section 6)"""


@dataclass(frozen=True)
class Ice:
    """ICE servers: at most one of each kind."""

    stun: str | None = None
    turn: str | None = None
    turn_username: str | None = None
    turn_credential: str | None = None


def invalid_offer(reason: str) -> ProtocolError:
    """Return the error for an invalid offer; `reason` completes the sentence."""
    return ProtocolError(f"The SDP offer cannot be accepted: {reason}.", code="invalid_offer", param="sdp")


def check_offer(sdp: str) -> None:
    """Raise `ProtocolError` unless this is an offer of audio and a data channel."""
    lines = sdp.splitlines()
    if not lines or lines[0].strip() != "v=0" or not all(_LINE.fullmatch(line) for line in lines if line):
        raise invalid_offer("it is not SDP")
    sections = _SECTION.split(sdp)[1:]
    kinds = [_kind(sections[index]) for index in _negotiable(sections)]
    for kind, reason in _REQUIRED_MEDIA.items():
        if kind not in kinds:
            raise invalid_offer(reason)
    for start, reason in _REQUIRED_LINES.items():
        if not any(line.startswith(start) for line in lines):
            raise invalid_offer(reason)
    mids = set(_mids(lines))
    if not all(mid in mids for line in lines for mid in _values("a=group:BUNDLE", line)):
        raise invalid_offer("it bundles media that are not in it")


def without_unsupported(sdp: str) -> str:
    """Return the part of an offer that can be negotiated, with the usable candidates.

    Candidates with an mDNS name are left out: resolving one takes a second and mostly fails, and such a client
    reaches the server sooner by itself. The end-of-candidates line is left out too: otherwise a client without
    usable candidates would be given up before it has received the answer.
    """
    head, *sections = _SECTION.split(sdp)
    kept = [sections[index] for index in _negotiable(sections)]
    mids = {mid for section in kept for mid in _mids(section.splitlines())}
    lines = "".join([head, *kept]).splitlines(keepends=True)
    return "".join(_bundle(line, mids) for line in lines if not _MDNS.match(line))


def complete_answer(answer: str, offer: str) -> str:
    """Return the answer to the complete offer, given the answer to the `without_unsupported` part.

    An answer has as many media as the offer, in its order; rejected ones have port 0 (RFC 3264, section 6).
    """
    head, *answers = _SECTION.split(answer)
    sections = _SECTION.split(offer)[1:]
    accepted = dict(zip(_negotiable(sections), answers, strict=True))
    return head + "".join(accepted.get(index) or _rejection(section) for index, section in enumerate(sections))


def max_message_size(sdp: str) -> int:
    """Return the maximum size in bytes of a message on this client's data channel; 0 means unlimited."""
    size = _MAX_MESSAGE_SIZE.search(sdp)
    return int(size[1]) if size else _DEFAULT_MAX_MESSAGE_SIZE


def _negotiable(sections: Sequence[str]) -> list[int]:
    return [
        index
        for index, section in enumerate(sections)
        if (_kind(section) == "application" or _SUPPORTED.search(section))
        and (not _REJECTED.match(section) or "a=bundle-only" in section)
    ]


def _kind(section: str) -> str:
    return section.removeprefix("m=").partition(" ")[0]


def _mids(lines: Sequence[str]) -> list[str]:
    return [mid for line in lines for mid in _values("a=mid:", line)]


def _bundle(line: str, mids: set[str]) -> str:
    bundled = _values("a=group:BUNDLE", line)
    return f"a=group:BUNDLE {' '.join(mid for mid in bundled if mid in mids)}\r\n" if bundled else line


def _rejection(section: str) -> str:
    kind, _, rest = section.partition("\n")[0].strip().split(" ", 2)
    mids = [f"a=mid:{mid}" for mid in _mids(section.splitlines())]
    lines = [f"{kind} 0 {rest}", "c=IN IP4 0.0.0.0", "a=inactive", *mids]
    return "".join(f"{line}\r\n" for line in lines)


def _values(start: str, line: str) -> list[str]:
    return line.removeprefix(start).split() if line.startswith(start) else []
