#!/usr/bin/env bash
# A Starlette StreamingResponse cannot answer while the request body still arrives
#
# Versions: starlette 1.10.0, uvicorn 0.54.0 (h11), CPython 3.11
# One expects: A call as Agent Voice Response makes it, one POST whose body is the caller's sound and whose
#   response is ours at the same time, can be served by a StreamingResponse that reads request.stream().
# What happens: The response listens for a disconnect by calling receive() itself, and the messages that it
#   swallows are the caller's sound. Status 200, and not one byte comes back. A bare ASGI application on the
#   same server echoes everything.
# Output seen:
#   bare ASGI: b'HTTP/1.1 200 OK', 16000 of 16000 bytes came back
#   StreamingResponse: b'HTTP/1.1 200 OK', 0 of 16000 bytes came back
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check starlette==1.10.0 uvicorn==0.54.0 h11
venv/bin/python - <<'PY'
import asyncio

import uvicorn
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

FRAME, FRAMES = 320, 50


async def echo(request):
    async def body():
        async for chunk in request.stream():
            if chunk:
                yield chunk

    return StreamingResponse(body(), media_type="application/octet-stream")


async def bare(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def call(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    got = bytearray()

    async def read():
        while data := await reader.read(65536):
            got.extend(data)

    reading = asyncio.create_task(read())
    for _ in range(FRAMES):  # a second of telephone sound, at the pace of speech
        writer.write(b"140\r\n" + b"S" * FRAME + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    await asyncio.sleep(0.5)
    writer.close()
    reading.cancel()
    return bytes(got).partition(b"\r\n")[0], got.count(b"S")


async def main():
    back = {}
    starlette = Starlette(routes=[Route("/echo", echo, methods=["POST"])])
    for name, application in {"bare ASGI": bare, "StreamingResponse": starlette}.items():
        config = uvicorn.Config(
            application, host="127.0.0.1", port=0, http="h11", log_level="error", lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        status, back[name] = await call(server.servers[0].sockets[0].getsockname()[1])
        print(f"{name}: {status}, {back[name]} of {FRAME * FRAMES} bytes came back")
        server.should_exit = True
        await task
    assert back == {"bare ASGI": FRAME * FRAMES, "StreamingResponse": 0}, back


asyncio.run(main())
PY
