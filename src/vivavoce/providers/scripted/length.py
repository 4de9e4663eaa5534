"""How long an answer shall be, and how it is made so long."""

import re
from dataclasses import dataclass

from vivavoce.providers.scripted.history import sentences_of
from vivavoce.text.en.numbers import number_from

__all__ = ["Length", "fitted", "length_in"]

_STORY_SENTENCES = 24
_CHARS_PER_SECOND = 15
_STORY = (
    "There was once a lighthouse at the edge of a quiet sea.",
    "Its keeper climbed the stairs every evening with a lamp and a book.",
    "A ship passed in the night, and the keeper wished it well.",
    "In the morning the gulls told each other what they had seen.",
    "Nobody was in a hurry, and the weather was kind.",
    "The keeper wrote down the tide, and then made some tea.",
)
_LENGTH = re.compile(
    r"\b(?:(?:in|with|use|only|exactly)? ?(?P<words>an?|one|a single|[\w-]+)[ -]words?\b(?! is| was|:)"
    r"|(?:in|with|only|exactly) (?P<sentences>an?|one|a single|[\w-]+) sentences?\b"
    r"|for (?:about |at least )?(?P<time>an?|[\w-]+) (?P<unit>second|minute)s?\b"
    r"|(?P<long>at (?:great )?length|in (?:great )?detail|keep talking|talk a lot"
    r"|(?:a )?(?:very )?long (?:[\w-]+ )?(?:story|answer|answers|reply|replies|explanation|poem|speech|text)"
    r"|tell (?:me |us )?(?:a|the|another) (?:[\w-]+ )?story))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Length:
    """So many words, sentences, or seconds of speech; none of them is as long as it comes."""

    words: int | None = None
    sentences: int | None = None
    seconds: float | None = None


def length_in(text: str) -> Length | None:
    """Return the length that a text asks for, if it does."""
    for match in _LENGTH.finditer(text):
        if match["long"]:
            return Length(sentences=_STORY_SENTENCES)
        number = _amount(match["words"] or match["sentences"] or match["time"])
        if number is None or number <= 0:
            continue
        if match["words"]:
            return Length(words=int(number))
        if match["sentences"]:
            return Length(sentences=int(number))
        return Length(seconds=number * (60 if match["unit"].lower() == "minute" else 1))
    return None


def _amount(words: str) -> float | None:
    return 1 if words.lower() in ("a", "an", "a single", "single") else number_from(words)


def fitted(text: str, word: str, length: Length) -> str:
    """Return an answer of the length asked for: `word` when one is wanted, a story when many are."""
    if length.words == 1:
        return f"{word.split()[0].strip('.,;:!?')}."
    if length.words is not None:
        return " ".join((text + " " + _story(sentences=length.words)).split()[: length.words])
    if length.seconds is not None:
        return _story(chars=int(length.seconds * _CHARS_PER_SECOND))
    if length.sentences is None:
        return text
    if length.sentences <= 1:
        return sentences_of(text)[0]
    return _story(sentences=length.sentences)


def _story(*, sentences: int = 0, chars: int = 0) -> str:
    """Tell a story of so many sentences, or of so many characters, whichever is more."""
    told: list[str] = []
    while len(told) < sentences or sum(map(len, told)) < chars:
        told.append(_STORY[len(told) % len(_STORY)])
    return " ".join(told)
