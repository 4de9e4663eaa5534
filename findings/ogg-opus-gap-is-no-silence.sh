#!/usr/bin/env bash
# A jump in the timestamps of an Ogg Opus recording is told in its length and missing from its sound
#
# Versions: PyAV 18.1.0 (FFmpeg 8.1), soundfile 0.14.0, numpy 2.4.6
# One expects: A call recorder that leaves out a hold of five seconds by setting the next frame's timestamp five
#   seconds later gets a file in which these are five seconds of silence, or one that is five seconds shorter.
# What happens: The file says 7 s (PyAV's duration, soundfile's frames) and decodes to 2 s of samples: whatever
#   reads by length and whatever reads by samples disagree about all that follows the gap. Zeros must be
#   written.
# Output seen:
#   no gap: the file says 2.0 s, 2.0 s are decoded
#   gap of 5 s: the file says 7.0 s, 2.0 s are decoded
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
from fractions import Fraction

import av
import numpy as np
import soundfile


def record(path, gap):
    with av.open(path, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=48000)
        stream.layout = "mono"
        at = 0
        for number in range(100):  # two seconds of tone in frames of 20 ms
            at += gap * 48000 if number == 50 else 0
            tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(960 * number, 960 * number + 960) / 48000)
            frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
            at += 960
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


seen = []
for name, gap in (("no gap", 0), ("gap of 5 s", 5)):
    record("call.ogg", gap)
    with av.open("call.ogg") as container:
        decoded = sum(frame.samples for frame in container.decode(audio=0)) / 48000
        told = round(container.duration / 1e6, 1)
    assert soundfile.info("call.ogg").frames / 48000 == 2 + gap
    print(f"{name}: the file says {told} s, {decoded} s are decoded")
    seen.append((told, decoded))
assert seen == [(2.0, 2.0), (7.0, 2.0)], seen
PY
