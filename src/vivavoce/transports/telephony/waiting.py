"""A soft tone now and then while an answer is slow, so that a caller does not take the line for dead."""

from collections.abc import Callable
from functools import lru_cache

import anyio

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall

SLOW_SECONDS = 1.2
"""seconds without an answer after which there is a tone; an answer is there in 0.9 s as a rule"""
EVERY_SECONDS = 2.0
MOST = 10
"""tones for one answer; after that nobody answers, and there may be none to come"""
TONE_HZ, TONE_SECONDS, LOUDNESS = 425, 0.15, 0.04


class WaitingTone:
    """Knows from the engine's events whether the caller waits for an answer, and plays the tone meanwhile."""

    def __init__(self, play: Callable[[bytes], None]) -> None:
        """`play` is given the tone, PCM at `OUTPUT_RATE`."""
        self._play = play
        self._is_waiting, self._changed = False, anyio.Event()

    def on_event(self, event: e.Event) -> None:
        """Observe an event of the engine, or a request for a response."""
        match event:
            case e.InputAudioBufferCommitted() | e.ResponseCreate():
                self._set(True)
            case e.ResponseOutputAudioDelta() | e.InputAudioBufferSpeechStarted():
                self._set(False)
            case e.ResponseDone(response=response):  # a tool is at work, or all was said
                self._set(any(isinstance(item, FunctionCall) for item in response.output))
            case _:
                pass

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            wait, left = SLOW_SECONDS if self._is_waiting else None, MOST
            self._changed = anyio.Event()
            while left:
                with anyio.move_on_after(wait):
                    await self._changed.wait()
                    break
                self._play(_tone())
                wait, left = EVERY_SECONDS, left - 1
            else:
                await self._changed.wait()

    def _set(self, is_waiting: bool) -> None:
        if is_waiting != self._is_waiting:
            self._is_waiting = is_waiting
            self._changed.set()


@lru_cache(maxsize=1)
def _tone() -> bytes:
    import numpy as np

    at = np.arange(round(TONE_SECONDS * OUTPUT_RATE))
    swell = np.sin(np.pi * at / len(at)) ** 2
    wave = np.sin(2 * np.pi * TONE_HZ * at / OUTPUT_RATE) * swell * LOUDNESS
    return bytes(np.rint(wave * 32767).astype("<i2").tobytes())
