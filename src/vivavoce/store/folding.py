"""Folds what was said to words that search compares, whatever the transcriber's spelling was.

"Twenty-one", "21" and "21st" fold to the same word, and so do "U.S.A." and "U S A", "3:30" and "three thirty",
"Müller" and "Mueller". The folded words are indexed; queries are folded alike (see docs/store.md). Pure.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import combinations, islice, pairwise, product
from typing import NamedTuple

from vivavoce.text.en.numbers import VALUES, ordinal
from vivavoce.text.languages import UNSPACED

VERSION = 1
"""Increased when the same text folds to other words: then the folded column must be built again."""
QUERY_WORDS, QUERY_CHARS, QUERY_ALTERNATIVES = 32, 2000, 8
"""What is used of a query: a database takes seconds for one of 100 kB."""
_RUN = 12
"""numbers that are joined at most, such as the digits of a telephone number"""

_FILLERS = {"um", "uh", "er", "erm", "uhm"}
_SPELLINGS = {
    "dr": "doctor",
    "mr": "mister",
    "mrs": "missus",
    "prof": "professor",
    "ok": "okay",
    "vs": "versus",
}
_SIGNS = {
    "$": "dollar",
    "€": "euro",
    "£": "pound",
    "¥": "yen",
    "%": "percent",
    "&": "and",
    "@": "at",
    "+": "plus",
}
_LETTERS = {"ł": "l", "ø": "o", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ı": "i"}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_SMALL = {"first": "1", "second": "2", "third": "3"}
"""Alone they stay words, which "1st" is indexed as too: most seconds are no 2."""
_ORDINALS = {ordinal(value): value for value in [*range(20), *range(20, 100, 10)]}
_SUFFIXES = ("st", "nd", "rd", "th", "s")
_DIGITS = 15
"""digits that are read or joined as one number"""
_HYPHENS, _JOINTS, _APART = ("-", "‐", "‑"), (" ", "-"), (" ", ". ")

_MARKS = "".join(chr(code) for code in range(0x300, 0x3100) if unicodedata.category(chr(code))[0] == "M")
_DROPPED = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u064b-\u065f\u0670]")
_DIAERESIS = "\u0308"
_LETTER = rf"(?![{UNSPACED}])[^\W\d_]"
_WORD = rf"{_LETTER}(?:(?![{UNSPACED}])(?:[^\W\d_]|[{_MARKS}]))*"
_TOKEN = re.compile(
    rf"(?P<initials>(?<!\w){_LETTER}(?:\.{_LETTER})+(?!\w)\.?)|(?P<number>\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d+)"
    rf"|(?P<paired>[{UNSPACED}])|(?P<word>{_WORD}(?:['’ʼ`]{_WORD})*)|(?P<sign>[{re.escape(''.join(_SIGNS))}])"
)
_APOSTROPHES = re.compile("['’ʼ`]s$|['’ʼ`]")
_BETWEEN_NUMBERS = re.compile(r"[\s:/‐-–,.-]{1,3}")


class _Token(NamedTuple):
    kind: str
    text: str
    gap: str
    """what stands between it and the token before"""


_NOTHING = _Token("", "", " ")


class _Unit(NamedTuple):
    """What belongs together: the words to index, and alternatives of words to search for."""

    words: Sequence[str]
    wanted: Sequence[tuple[str, ...]]
    raw: str = ""
    """a plain word as it was written, which may be one half of `e mail`"""


def fold(text: str) -> str:
    """Return the words to index for a text, separated by blanks."""
    return " ".join(word for unit in _units(text) for word in unit.words)


def fold_query(text: str) -> list[list[str]]:
    """Return alternatives for a query: a text is found if all words of one of them are in its folded words.

    At most `QUERY_WORDS` words of the query are used. Without any word (`"um?"`) there is no alternative.
    """
    cut = text if len(text) <= QUERY_CHARS else text[:QUERY_CHARS].rpartition(" ")[0] or text[:QUERY_CHARS]
    units = [unit for unit in _units(cut) if unit.wanted][:QUERY_WORDS]
    choices = [[unit.wanted for unit in units]]
    for at, (one, two) in enumerate(pairwise(units)):
        if one.raw and two.raw and min(len(one.raw), len(two.raw)) <= 2 and len(one.raw + two.raw) <= 8:
            choices.append([*choices[0][:at], [(_stem(one.raw + two.raw),)], *choices[0][at + 2 :]])
    found = (chosen for choice in choices if choice for chosen in product(*choice))
    words = ([word for group in chosen for word in group] for chosen in islice(found, QUERY_ALTERNATIVES))
    return [list(dict.fromkeys(one))[:QUERY_WORDS] for one in words]


def _units(text: str) -> list[_Unit]:
    return list(_fold_tokens(list(_tokens(_plain(text)))))


# letters


def _plain(text: str) -> str:
    """Return `text` in small letters without diacritics; the dots of ä, ö and ü are combining marks."""
    if text.isascii():
        return text.lower()
    letters, start = list[str](), 0
    for end in range(1, len(text) + 1):
        if end < len(text) and (unicodedata.combining(text[end]) or "\u1160" <= text[end] <= "\u11ff"):
            continue  # a mark, or the next part of a Korean syllable
        letters.append(_letter(text[start:end]))
        start = end
    return "".join(letters)


@lru_cache(maxsize=4096)
def _letter(cluster: str) -> str:
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", cluster).casefold())
    keeps_dots = parts[:1] in ("a", "o", "u") and _DIAERESIS in parts
    if unicodedata.category(cluster[0]) == "Cf":
        return ""  # a soft hyphen, or a joiner without a width
    plain = unicodedata.normalize("NFC", _DROPPED.sub("", parts)) + _DIAERESIS * keeps_dots
    digits = (str(unicodedata.decimal(one, one)) for one in plain)
    return "".join(_LETTERS.get(one, one) for one in digits)


def _tokens(plain: str) -> Iterator[_Token]:
    before = 0
    for found in _TOKEN.finditer(plain):
        kind, text = str(found.lastgroup), found[0]
        if kind == "number":
            text = text.replace(",", "")
        elif kind == "word":
            text = _APOSTROPHES.sub("", text)
        if text:  # an apostrophe alone may be a letter to Unicode
            yield _Token(kind, text, plain[before : found.start()])
            before = found.end()


# words


@cache
def _stemmer() -> Callable[[str], str]:
    from snowballstemmer import stemmer

    stem_word: Callable[[str], str] = stemmer("english").stemWord
    return stem_word


@lru_cache(maxsize=1 << 14)
def _stem(word: str) -> str:
    """Return the stem of a word in its usual spelling. It is its own stem, which Snowball does not promise."""
    while True:
        spelled = _SPELLINGS.get(word) or str(VALUES.get(word, _SCALES.get(word, word)))
        stem = spelled if spelled.isdecimal() else _stemmer()(spelled)
        if stem == word:
            return stem
        word = stem


@lru_cache(maxsize=1 << 14)
def _is_plain(word: str) -> bool:
    special = VALUES, _ORDINALS, _SCALES, _SMALL, _FILLERS, ("per", "oh")
    return (
        len(word) > 2
        and word.isascii()
        and word.isalpha()
        and not any({word, _stem(word)} & set(words) for words in special)
    )


def _fold_tokens(tokens: Sequence[_Token]) -> Iterator[_Unit]:
    at, last = 0, len(tokens) - 1
    while at <= last:
        token = tokens[at]
        if token.gap != "." and _is_plain(token.text) and (at == last or tokens[at + 1].gap not in _HYPHENS):
            stem = _stem(token.text)  # as the rules below do with most words, only faster
            yield _Unit([stem], [(stem,)], token.text)
            at += 1
            continue
        unit, at = _compound(tokens, at) or _numbers(tokens, at) or _initials(tokens, at) or _single(tokens, at)
        yield unit


def _compound(tokens: Sequence[_Token], at: int) -> tuple[_Unit, int] | None:
    """wi-fi: joined, and in parts."""
    end = at + 1
    while (
        tokens[at].kind == "word"
        and end < len(tokens)
        and tokens[end].kind == "word"
        and tokens[end].gap in _HYPHENS
    ):
        end += 1
    if end == at + 1:
        return None
    parts = [token._replace(gap=" ") for token in tokens[at:end]]
    if all(part.text in VALUES or part.text in _ORDINALS for part in parts):
        return None
    units = list(_fold_tokens(parts))
    joined = _stem("".join(part.text for part in parts).replace(_DIAERESIS, ""))
    words = [word for unit in units for word in unit.words]
    apart = tuple(word for unit in units if unit.wanted for word in unit.wanted[0])
    if joined in _FILLERS or not apart:  # e-r, um-um
        return _Unit(words, [apart] if apart else []), end
    return _Unit([joined, *words], [(joined,), apart]), end


def _initials(tokens: Sequence[_Token], at: int) -> tuple[_Unit, int] | None:
    """U.S.A., and U S A: joined, and letter by letter."""
    end = at + 1
    if tokens[at].kind == "initials":
        letters = tokens[at].text.replace(".", "")
    else:
        while (
            _is_letter(tokens[end - 1])
            and end < len(tokens)
            and _is_letter(tokens[end])
            and tokens[end].gap in _APART
        ):
            end += 1
        letters = "".join(token.text for token in tokens[at:end])
        if end == at + 1:
            return None
    joined = _stem(letters)
    wanted = tuple(letters) if joined in _FILLERS else (joined,)
    return _Unit([*wanted, *letters], [wanted]), end


def _is_letter(token: _Token) -> bool:
    return token.kind == "word" and len(token.text) == 1


def _single(tokens: Sequence[_Token], at: int) -> tuple[_Unit, int]:
    token = tokens[at]
    text, wanted = token.text, list[tuple[str, ...]]()
    after = tokens[at + 1] if at + 1 < len(tokens) else _NOTHING
    if token.kind == "sign":
        return _Unit([_stem(_SIGNS[text])], [(_stem(_SIGNS[text]),)]), at + 1
    if token.kind == "paired":
        words = [text]
        if after.kind == "paired" and not after.gap:
            words.append(text + after.text)
            wanted = [(text + after.text,)]
        elif not (at and tokens[at - 1].kind == "paired" and not token.gap):  # else the second of a pair
            wanted = [(text,)]
        return _Unit(words, wanted), at + 1
    if (text, after.text) == ("per", "cent"):
        return _Unit(["percent"], [("percent",)]), at + 2
    forms = dict.fromkeys(_stem(text.replace(_DIAERESIS, letter)) for letter in ("", "e"))
    words = [form for form in forms if form not in _FILLERS]
    wanted = [(word,) for word in words]
    if text in _SMALL:
        words.append(_SMALL[text])
    if (
        len(text) == 1
        and text not in "ai"
        and after.kind == "word"
        and after.gap == " "
        and len(after.text) > 2
    ):
        words.append(_stem(text + after.text.replace(_DIAERESIS, "")))  # e mail
    if token.gap == "." and at:
        words.append("dot")  # example.com
        wanted = [("dot", *one) for one in wanted]
    return _Unit(words, wanted, text if _DIAERESIS not in text and words else ""), at + 1


# numbers


def _numbers(tokens: Sequence[_Token], at: int) -> tuple[_Unit, int] | None:
    """Numbers in a row: each, and joined as a time or a telephone number is, all of it and parts of it."""
    digits, gaps, ohs, end = list[str](), list[str](), list[str](), at
    while end < len(tokens) and len(digits) < _RUN:
        gap = tokens[end].gap
        if digits and not _BETWEEN_NUMBERS.fullmatch(gap):
            break
        found = _number(tokens, end)
        if digits and tokens[end].text in ("oh", "o") and end + 1 < len(tokens) and _number(tokens, end + 1):
            found = "0", end + 1
            ohs.append(tokens[end].text)
        if found is None:
            break
        digits.append(found[0])
        gaps.append(gap.strip() if end > at else "")
        end = found[1]
    if not digits:
        return None
    words, count = digits + ohs, len(digits)
    commas = [place for place, gap in enumerate(gaps) if gap == ","]  # these may part the numbers of a list
    groups = list(pairwise([0, *commas, count]))
    for first, last in combinations(range(count + 1), 2):
        joined = "".join(digits[first:last])
        is_whole = (first, last) in (*groups, (0, count))
        if last - first > 1 and (is_whole or 2 < len(joined) <= _DIGITS):
            words.append(joined)
    if count > 1 and all(gap == "." for gap in gaps[1:]):  # 3.5
        words.append("point")
        is_money = at and tokens[at - 1].kind == "sign"
        decimal = tuple(digits) if is_money else (digits[0], "point", *digits[1:])
        return _Unit(words, [decimal, ("".join(digits),)]), end  # or it is 3:30, as the British write it
    wanted = tuple("".join(digits[first:last]) for first, last in groups)
    if count == 1 and tokens[end - 1].text in _SUFFIXES and digits[0] in _SMALL.values():
        words += [word for word, digit in _SMALL.items() if digit == digits[0]]
    return _Unit(words, [wanted]), end


def _number(tokens: Sequence[_Token], at: int) -> tuple[str, int] | None:
    """Return the digits of the number in digits or words that begins here, and the token after it."""
    total, part, room, limit, end, first = 0, 0, 10**_DIGITS, 10**_DIGITS, at, tokens[at]
    if first.kind == "number":
        after = tokens[at + 1] if at + 1 < len(tokens) else _NOTHING
        if not after.gap and after.text in _SUFFIXES:
            return first.text, at + 2
        if len(first.text) > _DIGITS or after.text not in _SCALES or after.gap not in _JOINTS:
            return first.text, at + 1
        part, room, end = int(first.text), 0, at + 1
    while end < len(tokens) and (end == at or tokens[end].gap in _JOINTS):
        skip = tokens[end].text == "and" and end > at and tokens[end - 1].text in _SCALES
        word = tokens[end + skip].text if end + skip < len(tokens) else ""
        scale, value = _SCALES.get(word), VALUES.get(word)
        if value is None and (word not in _SMALL or room == 10):
            value = _ORDINALS.get(word)
        if value is not None and value < room and (value or end == at):
            part, end = part + value, end + skip + 1
            if word in _ORDINALS:
                break
            room = 10 if value >= 20 else 0
        elif scale == 100 and not skip and part < 100 and (part or end == at):
            part, room, end = max(part, 1) * scale, 100, end + 1
        elif scale and scale != 100 and not skip and scale < limit and (part or end == at):
            total, part, room, limit, end = total + max(part, 1) * scale, 0, 1000, scale, end + 1
        else:
            break
    return (str(total + part), end) if end > at else None
