#!/usr/bin/env bash
# text2num joins a zero to the digit that follows, and only a zero
#
# Versions: text2num 3.1.0
# One expects: Dictated digits come out alike: either all apart or all joined.
# What happens: They come out apart, but a zero sticks to its right-hand neighbour: a caller's code changes its
#   number of groups with the place of its zeros, and splitting at spaces reads 07 as seven. Years fall apart
#   too.
# Output seen:
#   four seven one nine -> 4 7 1 9
#   seven three zero one -> 7 3 01
#   zero seven nine -> 07 9
#   nineteen eighty four -> 19 84
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check text2num==3.1.0
venv/bin/python - <<'PY'
from text_to_num import alpha2digit

EXPECTED = {
    "four seven one nine": "4 7 1 9",
    "seven three zero one": "7 3 01",
    "zero seven nine": "07 9",
    "nineteen eighty four": "19 84",
}
for words, seen in EXPECTED.items():
    digits = alpha2digit(words, "en")
    print(f"{words} -> {digits}")
    assert digits == seen, (words, digits)
PY
