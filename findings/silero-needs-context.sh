#!/usr/bin/env bash
# Silero VAD takes frames of 512 samples without complaint and then hears no speech at all
#
# Versions: silero-vad 6.2.3 (its silero_vad.onnx), onnxruntime 1.32.0, hibari-tts 0.2.1 for the sound, soxr
#   1.1.0
# One expects: The ONNX model's input is as long as a frame, 512 samples at 16 kHz, which the documents name,
#   and its state carries all that it needs between frames.
# What happens: Each frame must be preceded by the last 64 samples of the one before. The shape is dynamic, so
#   512 run without error and every probability stays below 0.01, in the middle of clear speech.
# Output seen:
#   with the last 64 samples in front: speech in 70 % of the frames, at most 1.000
#   frames of 512 alone: speech in 0 % of the frames, at most 0.002
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 onnxruntime==1.32.0 hibari-tts==0.2.1 soxr==1.1.0
venv/bin/pip install --quiet --disable-pip-version-check --no-deps silero-vad==6.2.3  # without torch
venv/bin/python - <<'PY'
from importlib.metadata import files

import hibari
import numpy as np
import onnxruntime
import soxr

speech = np.asarray(hibari.Hibari()("Good morning, how can I help you today?", seed=1), np.float32)
speech = soxr.resample(speech, 24000, 16000).astype(np.float32)
path = next(file.locate() for file in files("silero-vad") if file.name == "silero_vad.onnx")
model = onnxruntime.InferenceSession(str(path))


def probabilities(with_context):
    state, before, said = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
    for at in range(0, len(speech) - 512, 512):
        frame = speech[at : at + 512]
        sound = np.concatenate([before, frame]) if with_context else frame
        out, state = model.run(None, {"input": sound[None], "state": state, "sr": np.array(16000, np.int64)})
        before = frame[-64:]
        said.append(float(out[0, 0]))
    return np.array(said)


whole, alone = probabilities(True), probabilities(False)
for name, said in (("with the last 64 samples in front", whole), ("frames of 512 alone", alone)):
    print(f"{name}: speech in {(said > 0.5).mean():.0%} of the frames, at most {said.max():.3f}".replace("%", " %"))
assert (whole > 0.5).mean() > 0.6 and alone.max() < 0.01
PY
