"""Smart Turn: predicts in a pause, from the sound of the turn, whether the caller has finished.

It does not know the words. The network (Daily, smart-turn v3.2) reads the last 8 s as Whisper's features.
"""

from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.providers.local.log_mel import log_mel
from vivavoce.providers.local.onnx import OnnxSession, open_session
from vivavoce.providers.registry import Plugin, Weights

if TYPE_CHECKING:
    from vivavoce.audio.samples import Floats

MODEL = "turn/smart-turn-v3.2"
WINDOW = 8 * INPUT_RATE


class SmartTurnSettings(msgspec.Struct, frozen=True):
    """There are no settings."""


class SmartTurn:
    """The loaded model. One turn is judged at a time."""

    def __init__(self, session: OnnxSession) -> None:
        self._session = session
        self._turn = anyio.CapacityLimiter(1)

    async def predict_end_of_turn(self, audio: bytes) -> float:
        """Return the probability (0 to 1) that the turn is over, from the last 8 s of `audio`."""
        return await anyio.to_thread.run_sync(self._judge, audio, limiter=self._turn, abandon_on_cancel=True)

    def _judge(self, audio: bytes) -> float:
        from vivavoce.audio.samples import samples

        (answer,) = self._session.run(None, {"input_features": _features(samples(audio))[None]})
        return float(answer.reshape(-1)[0])


def _features(audio: "Floats") -> "Floats":
    """Return the features, 80 x 800, of the last 8 s; shorter audio is preceded by silence."""
    import numpy as np

    window = np.zeros(WINDOW, np.float32)
    window[WINDOW - len(audio[-WINDOW:]) :] = audio[-WINDOW:]
    window -= window.mean()
    window /= np.sqrt(window.var() + np.float32(1e-7))
    return log_mel(window)


async def open_smart_turn(settings: SmartTurnSettings, weights: Weights) -> SmartTurn:
    """Load the model and run it once, so that the first pause of a call is not slow."""
    files = await weights(MODEL)
    session = await anyio.to_thread.run_sync(partial(open_session, files["smart-turn-v3.2-cpu.onnx"]))
    smart_turn = SmartTurn(session)
    await smart_turn.predict_end_of_turn(bytes(2 * INPUT_RATE))
    return smart_turn


PLUGIN = Plugin(
    role="turn",
    name="smart-turn",
    summary="Predicts whether the caller has finished. Runs on this machine; any language.",
    settings=SmartTurnSettings,
    open=open_smart_turn,
    models=lambda settings: (MODEL,),
    about=lambda settings: "Smart Turn v3.2, on this machine",
    extra="local",
    packages=("numpy", "onnxruntime"),
)
