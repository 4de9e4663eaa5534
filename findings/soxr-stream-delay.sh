#!/usr/bin/env bash
# A streaming soxr resampler keeps up to 75 ms of live sound to itself
#
# Versions: soxr 1.1.0, numpy 2.4.6 (CPython 3.11)
# One expects: Sound that is resampled in frames of 20 ms comes out some 2 ms late, the length of a resampling
#   filter at 8 kHz; a lower quality is quicker.
# What happens: Every quality but QQ answers the first frames with nothing and then gives several frames at
#   once, so that the other side waits for 40 to 140 ms before it hears anything. LQ, sold as the cheap one, is
#   no quicker than HQ.
# Output seen:
#   QQ: first sound after frame 1, at the end 0.2 ms are still held back
#   LQ: first sound after frame 3, at the end 25.0 ms are still held back
#   MQ: first sound after frame 4, at the end 15.0 ms are still held back
#   HQ: first sound after frame 4, at the end 21.3 ms are still held back
#   VHQ: first sound after frame 8, at the end 37.5 ms are still held back
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check soxr==1.1.0 numpy==2.4.6
venv/bin/python - <<'PY'
import numpy as np
import soxr

tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)).astype(np.int16)
first, held = {}, {}
for quality in ("QQ", "LQ", "MQ", "HQ", "VHQ"):
    stream = soxr.ResampleStream(8000, 24000, 1, dtype="int16", quality=quality)
    sizes = [len(stream.resample_chunk(tone[at : at + 160])) for at in range(0, len(tone), 160)]
    first[quality] = next(number for number, size in enumerate(sizes, 1) if size)
    held[quality] = round(1000 - sum(sizes) / 24, 1)
    print(f"{quality}: first sound after frame {first[quality]}, at the end {held[quality]} ms are still held back")
assert first == {"QQ": 1, "LQ": 3, "MQ": 4, "HQ": 4, "VHQ": 8}, first
assert held == {"QQ": 0.2, "LQ": 25.0, "MQ": 15.0, "HQ": 21.3, "VHQ": 37.5}, held
PY
