"""Voices to record, and their recording; little is imported, since processes that are killed begin here."""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.audio.resample import resample
from vivavoce.protocol import events as e
from vivavoce.protocol.events import ClientEvent, Event
from vivavoce.session.middleware import ObservedEvent
from vivavoce.store.recordings import Recorded, RecordingWriter

Samples = NDArray[np.int16]
SPEECH = Path(__file__).parents[1] / "recordings"


def seen(at: float, event: Event) -> ObservedEvent:
    return ObservedEvent(event, "client" if isinstance(event, ClientEvent) else "server", at)


def speech(seconds: int) -> Samples:
    with wave.open(str(SPEECH / "jfk.wav")) as file:
        sound = resample(file.readframes(file.getnframes()), file.getframerate(), OUTPUT_RATE)
    return np.resize(np.frombuffer(sound, "<i2"), seconds * OUTPUT_RATE)


def write(url: str, left: Samples, right: Samples, spool: Path = Path(), **options: int) -> Recorded:
    """Record two voices that begin at once, in frames of 20 ms."""
    writer = RecordingWriter(url, spool=spool, **options)
    frame = OUTPUT_RATE // 50
    for at in range(0, len(left), frame):
        now = at / OUTPUT_RATE
        writer.on_event(seen(now, e.InputAudioBufferAppend(audio=left[at : at + frame].tobytes())))
        place = e.PartPlace(response_id="resp_1", item_id="item_1", output_index=0, content_index=0)
        writer.on_event(seen(now, e.ResponseOutputAudioDelta(**place, delta=right[at : at + frame].tobytes())))
    return writer.close(len(left) / OUTPUT_RATE).result()
