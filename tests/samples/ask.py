# [start:sample]
from base64 import b64decode, b64encode

from openai import AsyncOpenAI


async def ask(question: bytes, url: str = "http://127.0.0.1:8765/v1") -> bytes:
    """Say something (24 kHz PCM, a second of silence at its end), and return the sound of the answer."""
    answer = b""
    async with AsyncOpenAI(base_url=url, api_key="none").realtime.connect(model="vivavoce") as call:
        await call.input_audio_buffer.append(audio=b64encode(question).decode())
        async for event in call:
            if event.type == "response.output_audio.delta":
                answer += b64decode(event.delta)
            elif event.type == "response.done":
                break
    return answer


# [end:sample]
