"""Silero: voice activity detection, which takes about 0.12 ms of one core per frame.

The model is shared by all conversations; each detector has its own state: that of the network, and the last 4
ms of audio, which are passed to the network again before the next frame.
"""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import anyio.to_thread
import msgspec

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.providers.base import FRAME_BYTES
from vivavoce.providers.local.onnx import OnnxSession, open_session
from vivavoce.providers.registry import Plugin, Weights

if TYPE_CHECKING:
    from vivavoce.providers.local.onnx import Array

MODEL = "vad/silero-v6"
CONTEXT = 64
FRAME = FRAME_BYTES // 2


class SileroSettings(msgspec.Struct, frozen=True):
    """`gain` is multiplied onto the input: about 4 for a quiet, distant microphone."""

    gain: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class SileroDetector:
    """The detector of one conversation."""

    def __init__(self, session: OnnxSession, gain: float) -> None:
        import numpy as np

        self._session = session
        self._scale = np.float32(gain / 32768)
        self._window = np.zeros((1, CONTEXT + FRAME), np.float32)
        self._context, self._frame = self._window[0, :CONTEXT], self._window[0, CONTEXT:]
        self._last = self._window[0, -CONTEXT:]
        self._inputs: dict[str, Array] = {
            "input": self._window,
            "state": np.zeros((2, 1, 128), np.float32),
            "sr": np.array(INPUT_RATE, np.int64),
        }

    def probability(self, frame: bytes) -> float:
        """Return the probability (0 to 1) that `frame`, of exactly `FRAME_BYTES`, is speech."""
        import numpy as np

        self._context[:] = self._last
        np.multiply(np.frombuffer(frame, "<i2"), self._scale, out=self._frame)
        speech, self._inputs["state"] = self._session.run(None, self._inputs)
        return speech.item()


class Silero:
    """The loaded model; `detector()` is cheap."""

    def __init__(self, session: OnnxSession, settings: SileroSettings) -> None:
        self._session, self._gain = session, settings.gain

    def detector(self) -> SileroDetector:
        """Return the detector of a new conversation."""
        return SileroDetector(self._session, self._gain)


async def open_silero(settings: SileroSettings, weights: Weights) -> Silero:
    """Load the model and run it once, so that the first frame of a call is not slow."""
    files = await weights(MODEL)
    session = await anyio.to_thread.run_sync(partial(open_session, files["silero_vad.onnx"]))
    silero = Silero(session, settings)
    await anyio.to_thread.run_sync(silero.detector().probability, bytes(FRAME_BYTES))
    return silero


PLUGIN = Plugin(
    role="vad",
    name="silero",
    summary="Detects voice activity. Runs on this machine; any language.",
    settings=SileroSettings,
    open=open_silero,
    models=lambda settings: (MODEL,),
    about=lambda settings: "Silero VAD v6, on this machine",
    extra="local",
    packages=("numpy", "onnxruntime"),
)
