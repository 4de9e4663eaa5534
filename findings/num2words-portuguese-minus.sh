#!/usr/bin/env bash
# num2words: each unknown currency asked for in Portuguese takes a letter off the word for minus
#
# Versions: num2words 0.5.14 (CPython 3.11)
# One expects: A call that fails, here with NotImplementedError for a currency that the language does not know,
#   changes nothing for the next call.
# What happens: The word for minus is kept in the shared converter and is shortened by its last letter each
#   time, for the whole process: after five of them a debt of five is read out as a credit of five.
# Output seen:
#   0 unknown currencies: menos cinco
#   1 unknown currencies: menos cinco
#   2 unknown currencies: meno cinco
#   5 unknown currencies: m cinco
#   7 unknown currencies: cinco
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check num2words==0.5.14
venv/bin/python - <<'PY'
from num2words import num2words

said = {}
for asked in range(8):
    if asked:
        try:
            num2words(1, lang="pt", to="currency", currency="XYZ")
        except NotImplementedError:
            pass
    said[asked] = num2words(-5, lang="pt").strip()
for asked in (0, 1, 2, 5, 7):
    print(f"{asked} unknown currencies: {said[asked]}")
assert said[0] == "menos cinco" and said[5] != said[0] and said[7] == "cinco", said
PY
