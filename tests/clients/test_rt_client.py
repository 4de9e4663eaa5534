"""Azure's first client, `rt-client`, imitated: it hangs up on every event that it does not know.

It names the version of 2024 in its address, and its list of events is of that year.
"""

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from websockets.asyncio.client import ClientConnection, connect

from clients.recorder import Recorder
from clients.talk import sound_of

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

ADDRESS = "/openai/realtime?api-version=2024-10-01-preview&deployment=gpt-realtime"
KNOWN = {
    *("error", "session.created", "session.updated", "rate_limits.updated"),
    *("input_audio_buffer.committed", "input_audio_buffer.cleared"),
    *("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"),
    *("conversation.item.created", "conversation.item.truncated", "conversation.item.deleted"),
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.input_audio_transcription.failed",
    *("response.created", "response.done", "response.output_item.added", "response.output_item.done"),
    *("response.content_part.added", "response.content_part.done"),
    *("response.text.delta", "response.text.done", "response.audio.delta", "response.audio.done"),
    *("response.audio_transcript.delta", "response.audio_transcript.done"),
    *("response.function_call_arguments.delta", "response.function_call_arguments.done"),
}
HEARS = {"model": "whisper-1", "prompt": "Heard: Say exactly enough."}


async def hear(client: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next event of a type; an event that the client does not know ends it."""
    with anyio.fail_after(30):
        while True:
            event: dict[str, Any] = json.loads(await client.recv())
            assert event["type"] in KNOWN
            if event["type"] == kind:
                return event


async def test_a_client_of_2024_is_told_what_it_knows_and_nothing_else(recorder: Recorder) -> None:
    url = f"ws://{urlsplit(recorder.url).netloc}{ADDRESS}"
    async with connect(url, compression=None, additional_headers={"api-key": "none"}) as client:
        wish = {"turn_detection": {"type": "server_vad"}, "input_audio_transcription": HEARS}
        await client.send(json.dumps({"type": "session.update", "session": wish}))
        await hear(client, "session.updated")
        sound = sound_of("brooklyn") + bytes(48_000)
        for at in range(0, len(sound), 4800):
            audio = base64.b64encode(sound[at : at + 4800]).decode()
            await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            await anyio.sleep(0.1)
        heard = await hear(client, "conversation.item.input_audio_transcription.completed")
        assert heard["transcript"] == "Say exactly enough."
        assert (await hear(client, "response.audio_transcript.done"))["transcript"] == "enough."
        assert (await hear(client, "response.done"))["response"]["status"] == "completed"
