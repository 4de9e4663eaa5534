#!/usr/bin/env bash
# ICU spells German, Dutch and Italian numbers with invisible soft hyphens in them
#
# Versions: pyicu-wheels 2.15.2 (ICU 77.1)
# One expects: The spelled-out number is the word that a person would type, so it can be shown, compared and
#   searched for.
# What happens: In German, Dutch and Italian, U+00AD stands between the parts: the text looks right and equals
#   nothing. English has none. Captions, word error rates and full-text search all miss it.
# Output seen:
#   de 'drei\xadhundert\xadfünf\xadund\xadvierzig'
#   nl 'drie\xadhonderd\xadvijf\xaden\xadveertig'
#   it 'tre\xadcento\xadquaranta\xadcinque'
#   en 'three hundred forty-five'
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyicu-wheels==2.15.2
venv/bin/python - <<'PY'
import icu

spelled = {}
for language in ("de", "nl", "it", "en"):
    rules = icu.RuleBasedNumberFormat(icu.URBNFRuleSetTag.SPELLOUT, icu.Locale(language))
    spelled[language] = rules.format(345)
    print(language, ascii(spelled[language]) if language == "en" else repr(spelled[language]))
assert [language for language, text in spelled.items() if "\u00ad" in text] == ["de", "nl", "it"], spelled
assert spelled["de"].replace("\u00ad", "") == "dreihundertfünfundvierzig"
PY
