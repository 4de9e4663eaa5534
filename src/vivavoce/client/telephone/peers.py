"""The telephone peers by name, and which one a URL probably means."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from vivavoce.client.telephone import audio_socket, avr_http, avr_websocket, vonage
from vivavoce.client.telephone.chan_websocket import dial_channel
from vivavoce.client.telephone.codecs import ALAW, CODECS, SLIN, SLIN16, SLIN24, ULAW, Codec
from vivavoce.client.telephone.media_streams import (
    ExotelStream,
    PlivoStream,
    TelnyxStream,
    TwilioStream,
    dial_stream,
)
from vivavoce.client.telephone.peer import Dial
from vivavoce.errors import ConfigError, alternatives


class PeerKind(NamedTuple):
    """How a peer calls: the schemes of its URLs, and its codecs, of which the first is the default."""

    dial: Dial
    schemes: Sequence[str]
    codecs: Sequence[Codec]


HTTP, WS = ("http", "https"), ("ws", "wss")
PEERS: Mapping[str, PeerKind] = {
    "avr": PeerKind(avr_websocket.dial, WS, [SLIN]),
    "avr-http": PeerKind(avr_http.dial, HTTP, [SLIN]),
    "audiosocket": PeerKind(audio_socket.dial, ["tcp"], [SLIN, SLIN16, SLIN24, ULAW, ALAW]),
    "asterisk": PeerKind(dial_channel(as_json=True), WS, [SLIN16, SLIN, SLIN24, ULAW, ALAW]),
    "asterisk-plain": PeerKind(dial_channel(as_json=False), WS, [SLIN16, SLIN, SLIN24, ULAW, ALAW]),
    "twilio": PeerKind(dial_stream(TwilioStream, signed=True), WS, [ULAW]),
    "signalwire": PeerKind(dial_stream(TwilioStream), WS, [ULAW]),
    "telnyx": PeerKind(dial_stream(TelnyxStream), WS, [ULAW, ALAW, SLIN, SLIN16, SLIN24]),
    "plivo": PeerKind(dial_stream(PlivoStream), WS, [ULAW, SLIN, SLIN16]),
    "exotel": PeerKind(dial_stream(ExotelStream), WS, [SLIN, SLIN16, SLIN24, ULAW]),
    "vonage": PeerKind(vonage.dial, WS, [SLIN16, SLIN, SLIN24]),
}
AVR_PORTS = range(6030, 6042)
"""by convention, one for each vendor of Agent Voice Response"""


def without_secrets(url: str) -> str:
    """Return an address without a user's name and key, and without its query."""
    return re.sub("//[^/]*@", "//", url.partition("?")[0])


def peer_at(url: str, name: str | None) -> tuple[str, PeerKind]:
    """Return the peer of this name, or the one that the URL probably means. Raises `ConfigError`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"{without_secrets(url)!r} is no address; its port is no number.") from None
    if name is not None and name not in PEERS:
        raise ConfigError(f"There is no peer {name!r}; {alternatives(name, PEERS)}.")
    if not parts.hostname:
        shown = without_secrets(url)
        raise ConfigError(f"{shown!r} is no address of a server; write for example ws://127.0.0.1:6030.")
    if name == "avr" and parts.scheme in HTTP:
        name = "avr-http"
    name = name or _guess(parts.scheme, port, parts.path)
    if name is None:
        peers = ", ".join(PEERS)
        raise ConfigError(f"{without_secrets(url)} does not say who calls; add --peer, one of: {peers}.")
    kind = PEERS[name]
    if parts.scheme not in kind.schemes:
        raise ConfigError(f"The peer {name} calls {' or '.join(kind.schemes)}://, not {parts.scheme}://.")
    return name, kind


def _guess(scheme: str, port: int | None, path: str) -> str | None:
    if scheme in HTTP:
        return "avr-http"
    if scheme == "tcp":
        return "audiosocket"
    words = path.strip("/").split("/")
    if named := [word for word in words if word in PEERS]:
        return named[0]
    if words[0] == "media":
        return "asterisk"
    return "avr" if port in AVR_PORTS else None


def codec_of(peer: str, name: str | None) -> Codec:
    """Return the codec of this name, or a peer's default. Raises `ConfigError` if the peer has it not."""
    codecs = PEERS[peer].codecs
    if name is None:
        return codecs[0]
    if name in CODECS and CODECS[name] in codecs:
        return CODECS[name]
    raise ConfigError(
        f"The peer {peer} has no codec {name!r}; {alternatives(name, [one.name for one in codecs])}."
    )
