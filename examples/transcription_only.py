"""What is said in a recording, written down: nobody answers, and nobody speaks.

    viva serve
    python examples/transcription_only.py speech.wav [ws://127.0.0.1:8765]

Any recording will do, of at most five minutes.
"""

import sys
from pathlib import Path

import anyio

from vivavoce import RealtimeClient
from vivavoce.audio.decode import decode
from vivavoce.protocol.events import InputAudioBufferCommit


async def write_down(sound: bytes, url: str) -> None:
    client = RealtimeClient(f"{url}/v1/realtime?intent=transcription")
    await client.update_session(type="transcription", turn_detection=None)
    async with client:
        await client.append_input_audio(sound)
        await client.send(InputAudioBufferCommit())
        done = await client.wait_for_next("conversation.item.input_audio_transcription.completed")
        print(done.transcript)


if __name__ == "__main__":
    sound = decode(Path(sys.argv[1]).read_bytes(), rate=24_000, max_seconds=300)
    anyio.run(write_down, sound, sys.argv[2] if sys.argv[2:] else "ws://127.0.0.1:8765")
