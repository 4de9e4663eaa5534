#!/usr/bin/env bash
# hibari begins every text with 0.3 s of silence and ends a sentence at "no." and "ext."
#
# Versions: hibari-tts 0.2.1
# One expects: The first sample of a synthesised clause is nearly its first sound, and numbers and extensions
#   are read in one breath, as "approx." and "St." are.
# What happens: 0.3 s pass before anything is audible and 0.5 s after it, so an answer spoken clause by clause
#   has 0.8 s of hole at every seam and starts 0.3 s late unless both are trimmed; and "Ring no. 5" is cut into
#   two sentences.
# Output seen:
#   2.8 s of sound: 0.32 s before the first audible sample, 0.49 s after the last
#   ['Ring no.', '5 please.']
#   ['Dial ext.', '12 now.']
#   ['That is approx. ten minutes.']
#   ['He lives on Baker St. in London.']
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 hibari-tts==0.2.1
venv/bin/python - <<'PY'
import hibari
import numpy as np

voice = hibari.Hibari()
sound = np.asarray(voice("Good morning, how can I help you today?", seed=1), np.float32)
level = np.sqrt(np.convolve(sound**2, np.ones(240) / 240, "same"))
audible = np.flatnonzero(level > 10 ** (-45 / 20))
lead, tail = audible[0] / 24000, (len(sound) - audible[-1]) / 24000
print(f"{len(sound) / 24000:.1f} s of sound: {lead:.2f} s before the first audible sample, {tail:.2f} s after the last")
assert 0.25 < lead < 0.4 and 0.4 < tail < 0.6
for text, parts in {
    "Ring no. 5 please.": 2,
    "Dial ext. 12 now.": 2,
    "That is approx. ten minutes.": 1,
    "He lives on Baker St. in London.": 1,
}.items():
    print(voice.split_sentences(text))
    assert len(voice.split_sentences(text)) == parts
PY
