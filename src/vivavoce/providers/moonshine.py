"""Moonshine: writes down English on one core, in about a fiftieth of the time that it took to say.

The model's own files are run by plain onnxruntime (Jeffries et al., Moonshine, arXiv 2410.15608): an encoder
over the whole sound, and a decoder that writes one token at a time.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from vivavoce.providers import HEARING_RATE, Transcript
from vivavoce.providers.onnx import Session, open_session, samples
from vivavoce.providers.registry import Plugin, Weights

if TYPE_CHECKING:
    from vivavoce.providers.onnx import Array, Floats

__all__ = ["PLUGIN", "Moonshine", "MoonshineSettings"]

MODEL = "stt/moonshine-tiny-en"
LAYERS, HEADS, DIM = 6, 8, 36
BEGIN, END = 1, 2
SHORTEST = HEARING_RATE // 2
"""shorter sound is filled up with silence: the encoder is unstable below"""
LONGEST = 24 * HEARING_RATE
"""longer sound is cut where it is quietest: the model was trained on less than half a minute"""
SEARCH = 6 * HEARING_RATE
TOKENS_PER_SECOND, TOKENS_AT_LEAST = 6.5, 8
COMPRESSIBLE = 2.4
NOTHING = re.compile(r"^\W*(you|the|thank you|♪*)?\W*$", re.IGNORECASE)
"""what is written when nobody speaks"""
QUIET = 0.003


class MoonshineSettings(msgspec.Struct, frozen=True):
    """Nothing can be set: the model knows one language, and one thread is its fastest way."""


class Moonshine:
    """The loaded model. One utterance is written down at a time; others wait in order."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._encoder: Session = open_session(files["encoder_model.ort"])
        self._decoder: Session = open_session(files["decoder_model_merged.ort"])
        self._pieces = _pieces(files["tokenizer.bin"].read_bytes())
        self._turn = anyio.CapacityLimiter(1)

    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        """Write down what is said in English. Cancelling stops it at the next token."""
        stop = Event()
        try:
            write = partial(self._write_all, audio, stop)
            text = await anyio.to_thread.run_sync(write, limiter=self._turn, abandon_on_cancel=True)
        finally:
            stop.set()
        return Transcript(text, "en")

    def _write_all(self, audio: bytes, stop: Event) -> str:
        texts = [self._write(part, stop) for part in _utterances(samples(audio))]
        return " ".join(filter(None, texts))

    def _write(self, sound: "Floats", stop: Event) -> str:
        import numpy as np

        if not len(sound) or (float(np.sqrt(np.mean(sound**2))) < QUIET and np.abs(sound).max() < 10 * QUIET):
            return ""
        seconds = len(sound) / HEARING_RATE
        if len(sound) < SHORTEST:
            sound = np.pad(sound, (0, SHORTEST - len(sound)))
        most = TOKENS_AT_LEAST + int(seconds * TOKENS_PER_SECOND)
        text = b"".join(self._pieces[token] for token in self._tokens(sound, most, stop)).decode(
            errors="ignore"
        )
        text = text.replace("\u2581", " ").strip()
        return "" if NOTHING.match(text) else _without_loop(text)

    def _tokens(self, sound: "Floats", most: int, stop: Event) -> Iterator[int]:
        """Decode greedily, until the model ends, it is enough, or nobody wants to know any more."""
        import numpy as np

        mask = np.ones((1, len(sound)), np.int64)
        heard = self._encoder.run(None, {"input_values": sound[None], "attention_mask": mask})[0]
        names = [
            f"{layer}.{side}.{part}"
            for layer in range(LAYERS)
            for side in ("decoder", "encoder")
            for part in ("key", "value")
        ]
        past: dict[str, Array] = {
            f"past_key_values.{name}": np.zeros((1, HEADS, 0, DIM), np.float32) for name in names
        }
        token = BEGIN
        for count in range(most):
            inputs: dict[str, Array] = {
                "input_ids": np.array([[token]], np.int64),
                "encoder_hidden_states": heard,
                "encoder_attention_mask": mask,
                "use_cache_branch": np.array([count > 0]),
                **past,
            }
            logits, *present = self._decoder.run(None, inputs)
            token = int(logits[0, -1].argmax())
            if token == END or stop.is_set():
                return
            yield token
            for name, state in zip(names, present, strict=True):
                if count == 0 or "decoder" in name:  # what the encoder heard stays as it was
                    past[f"past_key_values.{name}"] = state


def _utterances(sound: "Floats") -> Iterator["Floats"]:
    """Cut long sound where it is quietest."""
    import numpy as np

    while len(sound) > LONGEST:
        late = sound[LONGEST - SEARCH : LONGEST]
        block = HEARING_RATE // 10
        energy = np.square(late[: len(late) // block * block]).reshape(-1, block).mean(axis=1)
        cut = LONGEST - SEARCH + int(energy.argmin()) * block + block // 2
        yield sound[:cut]
        sound = sound[cut:]
    yield sound


def _without_loop(text: str) -> str:
    """Cut a text that has begun to repeat itself after its first round."""
    raw = text.encode()
    if len(raw) / len(zlib.compress(raw)) < COMPRESSIBLE:
        return text
    looping = re.search(r"(.{2,60}?)\1{2,}", text, re.DOTALL)
    return text[: looping.end(1)].strip() if looping else text


def _pieces(data: bytes) -> list[bytes]:
    """Read `tokenizer.bin`: pieces, each behind its length in one or two bytes of seven bits."""
    pieces, at = [], 0
    while at < len(data):
        length, at = data[at], at + 1
        if length >= 128:
            length, at = length - 128 + 128 * data[at], at + 1
        pieces.append(data[at : at + length])
        at += length
    return pieces


async def open_moonshine(settings: MoonshineSettings, weights: Weights) -> Moonshine:
    """Load the model and let it hear a second of silence, so that the first caller's turn is not slow."""
    files = await weights(MODEL)
    moonshine = await anyio.to_thread.run_sync(Moonshine, files)
    await moonshine.transcribe(bytes(2 * HEARING_RATE))
    return moonshine


PLUGIN = Plugin(
    role="transcriber",
    name="moonshine",
    summary="Writes down English. Runs here.",
    settings=MoonshineSettings,
    open=open_moonshine,
    models=lambda settings: (MODEL,),
    about=lambda settings: "Moonshine tiny (English), on this machine",
    extra="local",
)
