#!/usr/bin/env bash
# The normaliser with which word errors are counted turns seven o'clock into 70
#
# Versions: whisper-normalizer 0.1.15 (English)
# One expects: Before word errors are counted, both texts are brought to one spelling that means the same.
# What happens: The o of o'clock is read as a zero and joined to the hour, and "one second" becomes the ordinal
#   12nd: transcripts that are right count as wrong wherever the recogniser wrote digits, and figures between
#   systems shift.
# Output seen:
#   at seven o'clock -> at 70 clock
#   at 7 o'clock -> at 7 0 clock
#   one second please -> 12nd please
#   1 second please -> 1 second please
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check whisper-normalizer==0.1.15
venv/bin/python - <<'PY'
from whisper_normalizer.english import EnglishTextNormalizer

normalize = EnglishTextNormalizer()
said = {text: normalize(text) for text in ("at seven o'clock", "at 7 o'clock", "one second please", "1 second please")}
for text, result in said.items():
    print(f"{text} -> {result}")
assert said["at seven o'clock"] == "at 70 clock" != said["at 7 o'clock"], said
assert said["one second please"] == "12nd please" != said["1 second please"], said
PY
