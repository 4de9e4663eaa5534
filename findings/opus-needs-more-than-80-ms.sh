#!/usr/bin/env bash
# Opus decoded from 80 ms before a place is not there what a full decode gives; it takes about half a second
#
# Versions: PyAV 18.1.0 (FFmpeg 8.1, libopus), numpy 2.4.6 (CPython 3.11)
# One expects: RFC 7845, section 4.6: who starts to decode at least 3840 samples (80 ms) before the place that is
#   sought has the correct output by the time it gets there.
# What happens: With a voice in stereo at 48 kbit/s the first samples differ by some percent of full scale, with
#   FFmpeg's decoder and with that of libopus alike. From 600 ms before, they are the same to the 16-bit sample.
# Output seen:
#   opus, from 80 ms before: differs by up to 1566 of 32768
#   opus, from 600 ms before: differs by up to 0 of 32768
#   libopus, from 80 ms before: differs by up to 1566 of 32768
#   libopus, from 600 ms before: differs by up to 0 of 32768
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import av
import numpy as np

RATE, SECONDS = 48_000, 20


def voice():
    """Harmonics of a pitch that glides, in syllables; another voice, softer, in the other ear."""
    time = np.arange(RATE * SECONDS) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.4 * time)) / RATE
    sound = sum(np.sin(k * phase) / k for k in range(1, 20)) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * time))
    both = np.stack([sound, np.roll(sound, RATE * 7) / 2], axis=1)
    return (both / np.abs(both).max() * 20_000).astype(np.int16)


with av.open("voice.ogg", "w", options={"page_duration": "20000"}) as file:
    stream = file.add_stream("libopus", rate=RATE, layout="stereo")
    stream.bit_rate = 48_000
    for at, part in enumerate(np.split(voice(), SECONDS)):
        frame = av.AudioFrame.from_ndarray(part.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts = RATE, at * RATE
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def packets(decoder, start=0):
    """Decode from the page of a sample on; return the 20 ms of every packet by its time."""
    with av.open("voice.ogg") as file:
        stream = file.streams.audio[0]
        context = av.CodecContext.create(decoder, "r")
        context.extradata, context.sample_rate, context.layout = stream.codec_context.extradata, RATE, "stereo"
        if start:
            file.seek(start, stream=stream)
        found = {}
        for packet in file.demux(stream):
            if not packet.size or (start and packet.pts > start + RATE):
                break
            for frame in context.decode(packet):
                samples = frame.to_ndarray() if frame.format.is_planar else frame.to_ndarray().reshape(-1, 2).T
                found[packet.pts] = samples if samples.dtype.kind == "f" else samples / 32768
        return found


for decoder in ("opus", "libopus"):
    whole = packets(decoder)
    worst = {}
    for ms in (80, 600):
        worst[ms] = 0
        for place in range(3 * RATE, 18 * RATE, RATE // 2 + 960 * 7):
            part = packets(decoder, place - ms * RATE // 1000)
            first = min(at for at in part if at >= place)
            worst[ms] = max(worst[ms], round(np.abs(part[first] - whole[first]).max() * 32768))
        print(f"{decoder}, from {ms} ms before: differs by up to {worst[ms]} of 32768")
    assert worst[80] > 100 * max(1, worst[600]), worst
PY
