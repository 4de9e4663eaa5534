#!/usr/bin/env bash
# espeak-ng reads -5 as 5 in French, Spanish, Russian, Turkish, Japanese and Hindi
#
# Versions: espeak-ng 1.52.0 by espeakng-loader 0.2.4
# One expects: A negative number is read as one in every language, or in none.
# What happens: English, German, Italian and Portuguese say the minus; in the others minus five degrees is five
#   degrees. The typographic minus sign is no way out: there the word is said in English.
# Output seen:
#   en-us: -5 differs from 5
#   de: -5 differs from 5
#   it: -5 differs from 5
#   pt: -5 differs from 5
#   fr: -5 is 5
#   es: -5 is 5
#   ru: -5 is 5
#   tr: -5 is 5
#   ja: -5 is 5
#   hi: -5 is 5
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
assert espeak.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0) == 22050


def phonemes(voice, text):
    assert espeak.espeak_SetVoiceByName(voice.encode()) == 0, voice
    rest = ctypes.c_char_p(text.encode())
    said = []
    while rest.value:
        said.append(espeak.espeak_TextToPhonemes(ctypes.byref(rest), 1, 2).decode())
    return " ".join(said)


lost = []
for voice in ("en-us", "de", "it", "pt", "fr", "es", "ru", "tr", "ja", "hi"):
    same = phonemes(voice, "-5") == phonemes(voice, "5")
    lost += [voice] if same else []
    print(f"{voice}: -5 {'is' if same else 'differs from'} 5")
assert lost == ["fr", "es", "ru", "tr", "ja", "hi"], lost
PY
