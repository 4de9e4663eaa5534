#!/usr/bin/env bash
# espeak-ng refuses fr-fr, en-gb, zh and no, and goes on in the voice that it had before
#
# Versions: espeak-ng 1.52.0 by espeakng-loader 0.2.4
# One expects: The usual language tags are understood (pt-br and en-us are), or speaking fails.
# What happens: espeak_SetVoiceByName returns 2 for them and leaves the former voice in place: without a look at
#   the return value French is read by German rules. The names it knows are fr, cmn and nb.
# Output seen:
#   de: returns 0, bonjour is bˈɔnjuːɾ
#   fr-fr: returns 2, bonjour is bˈɔnjuːɾ
#   fr: returns 0, bonjour is bɔ̃ʒˈuʁ
#   en-gb: returns 2, bonjour is bɔ̃ʒˈuʁ
#   zh: returns 2, bonjour is bɔ̃ʒˈuʁ
#   no: returns 2, bonjour is bɔ̃ʒˈuʁ
#   pt-br: returns 0, bonjour is boŋʒˈowr
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check espeakng-loader==0.2.4
venv/bin/python - <<'PY'
import ctypes

import espeakng_loader

espeak = ctypes.CDLL(espeakng_loader.get_library_path())
espeak.espeak_TextToPhonemes.restype = ctypes.c_char_p
espeak.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
seen = {}
for voice in ("de", "fr-fr", "fr", "en-gb", "zh", "no", "pt-br"):
    returned = espeak.espeak_SetVoiceByName(voice.encode())
    text = ctypes.c_char_p(b"bonjour")
    seen[voice] = (returned, espeak.espeak_TextToPhonemes(ctypes.byref(text), 1, 2).decode())
    print(f"{voice}: returns {returned}, bonjour is {seen[voice][1]}")
assert [voice for voice, (returned, _) in seen.items() if returned == 2] == ["fr-fr", "en-gb", "zh", "no"], seen
assert seen["fr-fr"][1] == seen["de"][1] != seen["fr"][1] and seen["zh"][1] == seen["fr"][1]
PY
