"""Offers in the shape in which browsers make them, and what is answered."""

import re

import pytest

from vivavoce.limits import Limits
from vivavoce.transports.webrtc.peer import Peer
from vivavoce.transports.webrtc.sdp import Ice, check_offer

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

PRINT = ":".join(["A5"] * 32)
WAY = f"""a=ice-ufrag:Xy12
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 {PRINT}
a=setup:actpass
a=rtcp-mux
"""
OPUS = """a=rtpmap:{0} opus/48000/2
a=fmtp:{0} minptime=10;useinbandfec=1
"""
DATA = f"""m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
{WAY}a=mid:data
a=sctp-port:5000
a=max-message-size:262144
"""
SOUND = f"""m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110
c=IN IP4 0.0.0.0
{WAY}a=mid:sound
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:14 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=sendrecv
a=rtcp-rsize
{OPUS.format(111)}a=rtcp-fb:111 transport-cc
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=ssrc:4711 cname:somebody
a=ssrc:4711 msid:- track
"""
FIREFOX_SOUND = f"""m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 0.0.0.0
a=sendrecv
a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
{WAY}a=mid:sound
a=msid:{{-}} {{1}}
{OPUS.format(109)}a=rtpmap:101 telephone-event/8000/1
a=fmtp:101 0-15
a=candidate:0 1 UDP 2122252543 6e5376c2-8b34-4e8b-b3ad-013226137d7c.local 49715 typ host
a=candidate:6 1 TCP 2105458943 6e5376c2-8b34-4e8b-b3ad-013226137d7c.local 9 typ host tcptype active
a=end-of-candidates
"""
VIDEO = f"""m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
{WAY}a=mid:video
a=sendonly
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
"""


def offer(*media: str) -> str:
    """Return an offer of these media, bundled."""
    mids = re.findall("a=mid:(.*)", "".join(media))
    head = (
        f"v=0\no=- 4711 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE {' '.join(mids)}\na=msid-semantic: WMS\n"
    )
    return "".join([head, *media]).replace("\n", "\r\n")


def unknown(video: str) -> str:
    return video.replace("VP8", "H265")


def media(sdp: str) -> list[str]:
    """Return what is agreed upon, as `audio sendrecv` or `video refused`."""
    sections = re.split(r"^(?=m=)", sdp, flags=re.MULTILINE)[1:]
    found = []
    for section in sections:
        kind, port = section.split(" ")[:2]
        way = re.search("a=(sendrecv|sendonly|recvonly|inactive)", section)
        found.append(f"{kind[2:]} {'refused' if port == '0' else way[1] if way else 'open'}")
    return found


async def answer(sdp: str) -> str:
    check_offer(sdp)
    async with Peer(Ice(), Limits()) as peer:
        return await peer.answer(sdp)


CHROME, FIREFOX = offer(SOUND, DATA), offer(FIREFOX_SOUND, DATA)
SAFARI = offer(
    SOUND.replace(" 63 ", " ").replace("a=rtpmap:63 red/48000/2\n", "").replace("a=fmtp:63 111/111\n", ""), DATA
)


@pytest.mark.parametrize("sdp", [CHROME, FIREFOX, SAFARI], ids=["Chrome", "Firefox", "Safari"])
async def test_a_browser_that_wants_to_talk_is_answered_in_opus(sdp: str) -> None:
    answered = await answer(sdp)
    assert media(answered) == ["audio sendrecv", "application open"]
    assert re.findall(r"a=rtpmap:\d+ (\S+)", answered) == ["opus/48000/2"]


@pytest.mark.parametrize(
    ("sdp", "agreed"),
    [
        (offer(SOUND, VIDEO, DATA), ["audio sendrecv", "video inactive", "application open"]),
        (offer(VIDEO, SOUND, DATA), ["video inactive", "audio sendrecv", "application open"]),
        (offer(DATA, unknown(VIDEO), SOUND), ["application open", "video refused", "audio sendrecv"]),
        (offer(unknown(VIDEO), SOUND, DATA), ["video refused", "audio sendrecv", "application open"]),
        (
            offer(VIDEO.replace("m=video 9", "m=video 0"), SOUND, DATA),
            ["video refused", "audio sendrecv", "application open"],
        ),
        (
            offer(SOUND, SOUND.replace(":sound", ":two").replace("4711", "4712"), DATA),
            ["audio sendrecv", "audio inactive", "application open"],
        ),
        (offer(SOUND.replace("sendrecv", "recvonly"), DATA), ["audio sendonly", "application open"]),
    ],
)
async def test_we_talk_and_whatever_else_is_offered_is_off(sdp: str, agreed: list[str]) -> None:
    answered = await answer(sdp)
    assert media(answered) == agreed
    bundled = re.search("a=group:BUNDLE (.*)", answered)
    assert bundled
    assert ("video" in bundled[1].split()) == ("video inactive" in agreed)
