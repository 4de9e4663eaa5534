"""What words alone tell about a turn: whether it can end here, and whether it was only an `uh-huh`.

Pure, and made for the first words of a transcriber: short, without context, sometimes misheard. English; of
other languages only the punctuation is read. How far this can be trusted: `docs/why/turns.md`.
"""

import re

__all__ = ["SENTENCE", "completeness", "hesitates", "is_backchannel", "is_doubtful", "spelling"]

UNKNOWN = 0.5
WHOLE, ANSWER, SENTENCE, PHRASE, PIECE = 1.0, 0.95, 0.75, 0.5, 0.1
"""How complete: a question or an order; a word or two; a statement; no sentence; a piece of one."""


def _these(words: str) -> frozenset[str]:
    return frozenset(words.split())


DIGITS = _these("double eight five four nine oh one seven six three triple two zero")
INTERROGATIVES = _these("how what when where which who whom whose why")
DETERMINERS = _these("a an every his its mr mrs my our that the their these this those your")
LINKS = _these(
    "although and as because but if nor or plus since so than though unless until when whenever whereas"
    " whether which while whose"
)
FILLERS = _these("ah er erm uh um umm")
PREPOSITIONS = _these(
    "about across after against among around at before behind between by down during for from in inside"
    " into like near of off on onto out over per through to toward towards under up upon via with within"
    " without"
)
SUBJECTS = _these("he i it she there they we what who you")
HELPERS = _these(
    "am are be been being can cannot could did do does had has have is let may might must shall should"
    " was were will would"
)
SAYING = _these("asked replied said say says")
VERBS = _these(
    "add answer ask begin believe book break bring build buy call came cancel change check close come"
    " confirm cost cut delete describe drive eat end enter explain fall feel felt find fix forget found"
    " gave get give go gone got guess happen hear heard help hold hope keep kept knew know learn leave"
    " left like listen live look lose lost love made make matter mean meet mind move need open order pay"
    " pick plan play please prefer put quit ran read recommend remember remind rent reserve run saw say"
    " schedule search see seem seen sell send sent set show sing sit sleep sound speak spell spend start"
    " stay stop take talk teach tell tend text thank think thought told took translate travel try turn"
    " understand use visit wait wake walk want watch went win wish wonder work write wrote"
)
ANSWERS = _these(
    "bye cancel continue correct enough goodbye help maybe never no nobody none nope nothing ok okay"
    " please quit repeat right stop sure thanks yeah yep yes"
)
GREETINGS = _these("hello hey hi")
BACKCHANNELS = _these(
    "ah aha ahh alright cool exactly fine good great hm hmm huh hum indeed interesting mhm mm mm-hm"
    " mm-hmm mmhm mmm nice oh ok okay right see sure true uh uh-huh uhhuh uhuh um wow yeah yep yes yup"
)
SMALL = _these("i is it it's that's")
"""Words that do not make an `I see` or a `that's right` more than a backchannel."""

LATIN = "ɏ"
"""The last of the Latin letters: of other scripts, words and sentences are not told apart."""
LEADING = LINKS | FILLERS | DETERMINERS | SUBJECTS | HELPERS | SAYING | PREPOSITIONS
"""Words after which, as the last, more must come."""
STRANDED = _these(
    "about across after around before behind by down in inside it like near off on out over that there"
    " this those through up you"
)
"""Of these, those that end a sentence now and then: `turn it on`, `I like that`, `where is it`."""


def completeness(text: str) -> float:
    """Say how far this is a whole thing to say: 0 surely goes on, 1 is complete, 0.5 cannot be told."""
    words = _words(_last_sentence(text))
    if not words:
        return UNKNOWN
    if len(words) <= 2 and all(word in ANSWERS for word in words):
        return WHOLE
    if len(words) == 1 and words[0] in GREETINGS:
        return SENTENCE
    if spelling(text):
        return PIECE if len(words) > 1 else PHRASE
    return min(_by_mark(text, words), _by_last_word(text, words))


def hesitates(text: str) -> bool:
    """Say whether this ends in an `um`: whoever says so keeps the floor."""
    words = _words(text)
    return bool(words) and words[-1] in FILLERS


def is_backchannel(text: str) -> bool:
    """Say whether these words only tell that someone listens. No words tell nothing: False."""
    words = [word for word in _words(text) if word not in SMALL]
    return bool(words) and all(word in BACKCHANNELS for word in words)


def is_doubtful(text: str) -> bool:
    """Say whether this is what transcribers write for noise: a single `the` or `you`."""
    return _words(text) in (["the"], ["you"], ["a"])


def spelling(text: str) -> bool:
    """Say whether this ends in digits told one by one: a number or a code, of which there may be more."""
    words = _words(_last_sentence(text))
    if not words or not _is_digit(words[-1]):
        return False
    return not _has_verb(words) or all(map(_is_digit, words[-2:]))


def _is_digit(word: str) -> bool:
    return word in DIGITS or word.isdigit()


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:['-]\w+)*", text.casefold().replace("’", "'"))


def _last_sentence(text: str) -> str:
    return re.split(r"[.?!]\s+", text.strip())[-1]


def _mark(text: str) -> str:
    """Return the mark at the end, or nothing."""
    end = text.rstrip(" \"'”’)")
    return "" if not end or end[-1].isalnum() else "…" if end.endswith("..") else end[-1]


def _by_mark(text: str, words: list[str]) -> float:
    mark = _mark(text)
    if not mark:
        return PIECE if any(letter.isupper() or letter in ",.?!" for letter in text) else UNKNOWN
    if mark in "?？":
        return WHOLE if _is_request(words) else SENTENCE
    if mark in ".!。":
        return WHOLE if _is_request(words) else _as_statement(words)
    return PIECE


def _is_request(words: list[str]) -> bool:
    """Say whether this has the form of a question or an order: `how old is`, `could you`, `book a`."""
    first, *rest = words
    first = re.sub("('s|'re|n't)$", "", first)
    if len(rest) < 2:
        return False
    if first in INTERROGATIVES:
        return words[0] != first or rest[0] not in SUBJECTS
    return first in HELPERS or first in VERBS


def _as_statement(words: list[str]) -> float:
    if any(letter > LATIN for word in words for letter in word):
        return SENTENCE
    if len(words) <= 3 and words[0] not in LEADING:
        return ANSWER
    if _has_verb(words):
        return SENTENCE
    return PIECE if words[0] in LEADING - SUBJECTS - HELPERS else PHRASE


def _by_last_word(text: str, words: list[str]) -> float:
    last, mark = words[-1], _mark(text)
    if last not in LEADING or (mark == "?" and len(words) > 2 and last not in LINKS | FILLERS):
        return 1.0
    return PHRASE if last in STRANDED and mark in (".", "!") else PIECE


def _has_verb(words: list[str]) -> bool:
    return any(map(_is_verb, ["", *words], words))


def _is_verb(before: str, word: str) -> bool:
    if word in VERBS | HELPERS | SAYING or re.search(r"('(s|re|ve|ll|d|m)|n't)$", word):
        return True
    stem = re.sub(r"(es|s|ed|d)$", "", word)
    return stem in VERBS or stem + "e" in VERBS or (word.endswith("ed") and before not in PREPOSITIONS)
