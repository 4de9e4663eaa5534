#!/usr/bin/env bash
# aiortc answers an offer for Opus without its parameters, so none of them take effect
#
# Versions: aiortc 1.16.0 (CPython 3.11)
# One expects: The answer repeats or restricts the format parameters of the offer (RFC 8866, RFC 7587): in-band
#   error correction, silence suppression and a bit rate that the caller asked for are agreed on, or refused in
#   so many words.
# What happens: The answer has no a=fmtp line for Opus at all. By RFC 7587 that means the defaults: no in-band
#   FEC, no DTX, no limit to the bit rate, whatever was offered. Only editing the answer changes that.
# Output seen:
#   offered: minptime=10;useinbandfec=1;usedtx=1;maxaveragebitrate=24000
#   answered: opus/48000/2, no parameters
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiortc==1.16.0
venv/bin/python - <<'PY'
import asyncio

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

WANTED = "minptime=10;useinbandfec=1;usedtx=1;maxaveragebitrate=24000"


async def main():
    caller, server = RTCPeerConnection(), RTCPeerConnection()
    caller.addTrack(AudioStreamTrack())
    server.addTrack(AudioStreamTrack())
    await caller.setLocalDescription(await caller.createOffer())
    lines = caller.localDescription.sdp.splitlines()
    rtpmap = next(line for line in lines if line.endswith("opus/48000/2"))
    payload = rtpmap.partition(":")[2].split()[0]
    lines.insert(lines.index(rtpmap) + 1, f"a=fmtp:{payload} {WANTED}")
    offer = "\r\n".join(lines) + "\r\n"
    await server.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await server.setLocalDescription(await server.createAnswer())
    answer = server.localDescription.sdp
    await caller.close()
    await server.close()
    print(f"offered: {WANTED}")
    print("answered:", "opus/48000/2," if "opus/48000/2" in answer else "no Opus,", end=" ")
    print("parameters" if f"a=fmtp:{payload}" in answer else "no parameters")
    assert "opus/48000/2" in answer and f"a=fmtp:{payload}" not in answer


asyncio.run(main())
PY
