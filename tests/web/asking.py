"""Requests that the tests of the HTTP endpoints share."""

import io
import wave
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from vivavoce.testing.simulation import CallerSays, Simulation


@asynccontextmanager
async def asking(url: str, **wishes: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, **wishes) as client:
        yield client


def wav(*levels: tuple[int, float], rate: int = 16_000) -> bytes:
    """Return a recording of square sound: pairs of a level and its seconds."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        for level, seconds in levels:
            writer.writeframes(array("h", [level] * round(seconds * rate)).tobytes())
    return file.getvalue()


async def transcribe(client: httpx.AsyncClient, recording: bytes, **fields: str) -> httpx.Response:
    data = {"model": "whisper-1", **fields}
    return await client.post("/v1/audio/transcriptions", files={"file": ("it.wav", recording)}, data=data)


async def say(client: httpx.AsyncClient, text: str = "Hello there.", **fields: object) -> httpx.Response:
    return await client.post(
        "/v1/audio/speech", json={"model": "tts-1", "input": text, "voice": "alloy", **fields}
    )


def error(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


def stage_that_hears(words: str, seconds: float = 1) -> Simulation:
    simulation = Simulation(transcriber_delay=0, synthesizer_delay=0)
    simulation.caller.utterances = [CallerSays(0, words, seconds=seconds)]
    return simulation
