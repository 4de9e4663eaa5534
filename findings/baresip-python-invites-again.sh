#!/usr/bin/env bash
# baresip-python invites every caller a second time as soon as a call is answered
#
# Versions: baresip-python 0.5.2a3 (CPython 3.11)
# One expects: An INVITE that offers PCMU alone is answered 200 with PCMU, acknowledged, and that is all: nothing of
#   the session changes, so no new offer is due (RFC 3261, 14.1).
# What happens: Within a fifth of a second after the ACK, the answering side sends an INVITE within the dialog, which
#   offers the codecs that the caller has not named as well (PCMA, telephone events). It is sent again until it is
#   answered. A caller that knows no re-INVITE, such as the usual scenario of a load generator, counts the call as
#   failed.
# Output seen:
#   answered: 200 with m=audio PORT RTP/AVP 0
#   after the ACK: INVITE with m=audio PORT RTP/AVP 0 97 8
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check baresip-python==0.5.2a3
venv/bin/python - <<'PY'
import asyncio
import re
import socket

from baresip import Account, Config
from baresip.runtime import Runtime
from baresip.ua import UserAgent

OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
OFFER += "m=audio 16000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def request(method, number, theirs, ours, tag="", body=""):
    lines = [
        f"{method} sip:desk@127.0.0.1:{theirs} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:{ours};branch=z9hG4bK{method}{number}",
        f"From: <sip:ada@127.0.0.1:{ours}>;tag=caller",
        f"To: <sip:desk@127.0.0.1:{theirs}>" + (f";tag={tag}" if tag else ""),
        "Call-ID: one",
        f"CSeq: {number} {method}",
        f"Contact: <sip:ada@127.0.0.1:{ours}>",
        "Max-Forwards: 70",
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def media(message):
    return re.sub(r"m=audio \d+", "m=audio PORT", re.search(r"m=audio[^\r]*", message)[0])


async def main():
    theirs, loop = free_port(), asyncio.get_running_loop()
    runtime = Runtime()
    await runtime.start(Config(net_interface="127.0.0.1", extra_config_text=f"sip_listen 127.0.0.1:{theirs}\n"))
    desk = await UserAgent.create(runtime, Account("desk", f"127.0.0.1:{theirs}", "", reg_interval=0))
    desk.on_incoming(lambda call: loop.create_task(call.answer()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind(("127.0.0.1", 0))
        caller.setblocking(False)
        ours = caller.getsockname()[1]
        caller.sendto(request("INVITE", 1, theirs, ours, body=OFFER), ("127.0.0.1", theirs))
        again, tag = "", ""
        while not again:
            message = (await asyncio.wait_for(loop.sock_recv(caller, 4096), 5)).decode()
            if message.startswith("SIP/2.0 200"):
                tag = re.search(r"^To:.*tag=([^;\r]+)", message, re.MULTILINE)[1]
                print("answered: 200 with", media(message))
                assert media(message) == "m=audio PORT RTP/AVP 0"
                caller.sendto(request("ACK", 1, theirs, ours, tag), ("127.0.0.1", theirs))
            elif message.startswith("INVITE"):
                again = media(message)
        print("after the ACK: INVITE with", again)
        caller.sendto(request("BYE", 2, theirs, ours, tag), ("127.0.0.1", theirs))
    await runtime.close()
    assert again == "m=audio PORT RTP/AVP 0 97 8", again


asyncio.run(main())
PY
