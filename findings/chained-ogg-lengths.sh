#!/usr/bin/env bash
# Of two Ogg Opus files joined into one, soundfile reads only the first, and PyAV's clock starts again
#
# Versions: PyAV 18.1.0 (FFmpeg 8.1), soundfile 0.14.0, numpy 2.4.6
# One expects: Ogg may be chained by putting one file behind the other (RFC 3533), so a recorder may go on after
#   a restart by appending; readers agree on the length.
# What happens: soundfile plays the first recording and ends there without a word; PyAV says 2 s, decodes 4 s, and its
#   timestamps start again in the middle, so that a seek lands in either half.
# Output seen:
#   soundfile: 2.0 s in the header, 2.0 s read
#   PyAV: 2.0 s in the header, 4.0 s decoded, the last frame is at 1.99 s
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

with av.open("one.ogg", "w", format="ogg") as container:
    stream = container.add_stream("libopus", rate=48000)
    stream.layout = "mono"
    for number in range(100):
        tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(960 * number, 960 * number + 960) / 48000)
        frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 960 * number, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
Path("two.ogg").write_bytes(Path("one.ogg").read_bytes() * 2)

header, read = soundfile.info("two.ogg").frames / 48000, len(soundfile.read("two.ogg")[0]) / 48000
with av.open("two.ogg") as container:
    told = round(container.duration / 1e6, 1)
    frames = list(container.decode(audio=0))
decoded, last = sum(frame.samples for frame in frames) / 48000, round(frames[-1].time, 2)
print(f"soundfile: {header} s in the header, {read} s read")
print(f"PyAV: {told} s in the header, {decoded} s decoded, the last frame is at {last} s")
assert (header, read, told, decoded, last) == (2.0, 2.0, 2.0, 4.0, 1.99)
PY
