#!/usr/bin/env bash
# The normaliser with which word errors are counted makes "70 clock" of seven o'clock and "13rd" of one third
#
# Versions: whisper-normalizer 0.1.15 (English)
# One expects: before word errors are counted, both texts are brought to one spelling that means the same.
# What happens: the o of o'clock is read as a zero behind the hour, and a fraction or a second behind a number as the
#   ending of an ordinal. Ten o'clock becomes what "one hundred clock" becomes, so a recogniser that mishears it so has
#   made no error, and "one third" against "1/3" has.
# Output seen:
#   at seven o'clock -> at 70 clock
#   at seventy clock -> at 70 clock
#   at ten o'clock -> at 100 clock
#   one second please -> 12nd please
#   one third of it -> 13rd of it
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check whisper-normalizer==0.1.15
venv/bin/python - <<'PY'
from whisper_normalizer.english import EnglishTextNormalizer

normalize = EnglishTextNormalizer()
SEEN = {
    "at seven o'clock": "at 70 clock",
    "at seventy clock": "at 70 clock",
    "at ten o'clock": "at 100 clock",
    "one second please": "12nd please",
    "one third of it": "13rd of it",
}
for text, seen in SEEN.items():
    print(f"{text} -> {normalize(text)}")
    assert normalize(text) == seen, (text, normalize(text))
PY
