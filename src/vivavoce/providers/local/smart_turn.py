"""Smart Turn: predicts in a pause, from the sound of the turn, whether the caller has finished.

It does not know the words. The network (Daily, smart-turn v3.2) reads the last 8 s as Whisper's features: 80
bands of logarithmic energy every 10 ms (Radford et al., 2022, section 2.2).
"""

from functools import cache, partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.providers.local.onnx import OnnxSession, open_session
from vivavoce.providers.registry import Plugin, Weights

if TYPE_CHECKING:
    from vivavoce.audio.samples import Floats

MODEL = "turn/smart-turn-v3.2"
WINDOW = 8 * INPUT_RATE
FFT, HOP, BANDS = 400, 160, 80
FLOOR = 8.0
"""dynamic range of the features, in decades of power below the loudest"""

AT_ONCE = 16
"""frames multiplied at once: few enough that OpenBLAS uses one thread. Several wait for one another for up to
130 ms when the machine is busy, instead of 0.3"""


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
    """Return the features, `BANDS` x 800, of the last 8 s; shorter audio is preceded by silence."""
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    window = np.zeros(WINDOW, np.float32)
    window[WINDOW - len(audio[-WINDOW:]) :] = audio[-WINDOW:]
    window -= window.mean()
    window /= np.sqrt(window.var() + np.float32(1e-7))
    frames = sliding_window_view(np.pad(window, FFT // 2, mode="reflect"), FFT)[::HOP][:-1]
    hann = np.hanning(FFT + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(frames * hann)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    parts = _mel_bands() @ power.reshape(-1, AT_ONCE, power.shape[1]).transpose(0, 2, 1)
    energy = np.log10(np.maximum(parts.transpose(1, 0, 2).reshape(BANDS, -1), np.float32(1e-10)))
    features: Floats = (np.maximum(energy, energy.max() - FLOOR) + 4) / 4
    return features


@cache
def _mel_bands() -> "Floats":
    """Return Slaney's triangular bands (Auditory Toolbox, 1998): linear to 1 kHz, then logarithmic."""
    import numpy as np

    step, knee = 200 / 3, 1000.0
    ratio = np.log(6.4) / 27
    mels = np.linspace(0, knee / step + np.log(INPUT_RATE / 2 / knee) / ratio, BANDS + 2)
    hertz = np.where(mels < knee / step, mels * step, knee * np.exp(ratio * (mels - knee / step)))
    bins = np.fft.rfftfreq(FFT, 1 / INPUT_RATE)
    rise = (bins - hertz[:-2, None]) / np.diff(hertz)[:-1, None]
    fall = (hertz[2:, None] - bins) / np.diff(hertz)[1:, None]
    bands = np.maximum(0, np.minimum(rise, fall)) * (2 / (hertz[2:] - hertz[:-2]))[:, None]
    matrix: Floats = bands.astype(np.float32)
    return matrix


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
