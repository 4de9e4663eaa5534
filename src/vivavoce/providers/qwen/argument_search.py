"""What callers' own words say of a tool's arguments: what is settled, what is left to choose, what is missing.

Numbers, codes and addresses are not a matter of taste: they were said, or they were not, and a small model that
is asked for them makes some up. So they are looked for here, in the request and then in the turns before it.
Pure, and for any tool: it goes by the schema's types, patterns and choices, and by the names of the properties.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from vivavoce.protocol.session import FunctionTool
from vivavoce.providers.dialogue import Turn
from vivavoce.providers.json_schema import Json, form, mapping, parameters
from vivavoce.text.completeness import WordClasses
from vivavoce.text.en.inverse_normalization import as_written
from vivavoce.text.en.numbers import numbers_in

__all__ = ["Evidence", "evidence", "own_words"]

NEAR_BEFORE, NEAR_AFTER = 5, 3
"""So many words from a number stands what it is the number of."""
PHONE_DIGITS = 5
OPTIONAL_DIGITS = 3

_TOKEN = re.compile(r"\+?[\w@.+-]*\w")
_COUNTED = re.compile(
    r"\b(\d+|one|two|three|four|five|six|seven|eight|nine|ten|twelve)[ -]digits?\b", re.IGNORECASE
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_ID = re.compile(r"(?:^|_)(?:id|ids|code|number|no|zip|phone|reference|order|key)$", re.IGNORECASE)
_PHONE = re.compile(r"(?:^|_)(?:phone|mobile|telephone|tel)", re.IGNORECASE)
_POST = re.compile(r"post_?code|postal_?code|zip_?code", re.IGNORECASE)
_GENERIC = {"id", "ids", "code", "number", "no", "reference", "key", "value", "name"}
_AMOUNTS = re.compile(
    r"\b(?:half|quarter|dozen|couple|pair|once|twice|an? (?:second|minute|hour|day|week|month|year|degree))\b",
    re.IGNORECASE,
)
_REMARK = re.compile(r"^\(From .*", re.MULTILINE | re.DOTALL)
_ENGLISH = WordClasses.of("en")
_TALK = (
    _ENGLISH.answers
    | _ENGLISH.determiners
    | _ENGLISH.fillers
    | _ENGLISH.greetings
    | _ENGLISH.auxiliaries
    | _ENGLISH.interrogatives
    | _ENGLISH.conjunctions
    | _ENGLISH.prepositions
    | _ENGLISH.subjects
    | frozenset(
        "me us him them myself it's i'm i'd i've we've you're that's like want need wish thank there here now"
        " then just also too again so well not don't can't let's something anything someone somebody anyone"
        " one thing things".split()
    )
)
"""Words that say nothing by themselves."""


@dataclass(frozen=True)
class Evidence:
    """Of a tool's arguments: those that are `found`, those `left` to choose, and those `missing`.

    What is left is held to these values; to none where any words of the caller's will do.
    """

    found: Mapping[str, object] = field(default_factory=dict)
    left: Mapping[str, Sequence[object]] = field(default_factory=dict)
    missing: Sequence[str] = ()


def own_words(said: Turn) -> str:
    """Return what somebody said as it is written, without what tools have put beside it."""
    return as_written(_REMARK.sub("", said.text).strip())


def evidence(tool: FunctionTool, tools: Sequence[FunctionTool], turns: Sequence[Turn]) -> Evidence:
    """Look in what was said, the request last, for the arguments of a tool that stands among others."""
    return _Search(tool, tools, [Turn(said.role, as_written(said.text)) for said in turns]).evidence()


class _Search:
    def __init__(self, tool: FunctionTool, tools: Sequence[FunctionTool], turns: Sequence[Turn]) -> None:
        self._tool, self._turns = tool, turns
        self._request = turns[-1].text if turns else ""
        self._nouns = frozenset(noun for one in tools for name in _coded(one) for noun in _nouns(name, one))
        self._used: set[str] = set()

    def evidence(self) -> Evidence:
        schema, described = form(self._tool), mapping(parameters(self._tool).get("properties"))
        needed = schema["required"]
        found: dict[str, object] = {}
        left: dict[str, Sequence[object]] = {}
        missing: list[str] = []
        properties = mapping(schema["properties"])
        coded = sorted(properties, key=lambda name: _matcher(name, _told(described, name)) is None)
        for name in coded:
            is_needed = isinstance(needed, list) and name in needed
            options = self._options(name, mapping(properties[name]), _told(described, name), needed=is_needed)
            if options is None:
                left[name] = ()
            elif len(options) == 1:
                found[name] = options[0]
                self._used.add(str(options[0]))
            elif options:
                left[name] = options
            elif is_needed:
                missing.append(name)
        return Evidence(found, left, tuple(name for name in properties if name in missing))

    def _options(self, name: str, held: Json, told: Json, *, needed: bool) -> Sequence[object] | None:
        """Return what an argument can be; nothing where nothing was said of it, None where it is to be seen."""
        if "const" in held:
            return [held["const"]]
        if isinstance(choices := held.get("enum"), list):
            return self._named(choices) or (choices if needed else [])
        kind = _kind(held)
        if kind in ("integer", "number"):
            return self._numbers(held, whole=kind == "integer")
        if kind != "string":
            return None
        if matches := _matcher(name, told, needed=needed):
            return self._codes(name, matches)
        return None if self._says_more() else []

    def _named(self, choices: Sequence[object]) -> Sequence[object]:
        said = f" {' '.join(_TOKEN.findall(self._request.lower()))} "
        return [one for one in choices if f" {str(one).replace('_', ' ').lower()} " in said]

    def _numbers(self, held: Json, *, whole: bool) -> Sequence[object] | None:
        low, high = held.get("minimum"), held.get("maximum")
        said = [
            number
            for number in dict.fromkeys(numbers_in(self._request))
            if not (isinstance(low, int | float) and number < low)
            and not (isinstance(high, int | float) and number > high)
            and (not whole or number == int(number))
        ]
        return said or (None if _AMOUNTS.search(self._request) else [])

    def _codes(self, name: str, matches: Callable[[str], bool]) -> Sequence[str]:
        """Return the codes of this kind that are meant: said now and called by the name, said now, said before.

        What is called by another property's name is not meant.
        """
        own = _nouns(name, self._tool)
        now, *before = [self._ranked(place, own, matches) for place in reversed(range(len(self._turns)))] or [
            {}
        ]
        for ranked, rank in (
            (now, 2),
            (now, 1),
            *((turn, 2) for turn in before),
            (now, 0),
            *((turn, 1) for turn in before),
        ):
            if codes := [code for code, its in ranked.items() if its == rank and code not in self._used]:
                return codes
        return []

    def _ranked(self, place: int, own: frozenset[str], matches: Callable[[str], bool]) -> Mapping[str, int]:
        """Return the codes of a turn: 2 called by our name, 1 by none, 0 in answer to a question for others."""
        tokens = _TOKEN.findall(self._turns[place].text)
        asked = self._asked(place)
        ranked: dict[str, int] = {}
        for code, at in _codes(tokens, matches):
            label = self._label(tokens, at)
            if label is None and asked:
                ranked[code] = 2 if asked & own else 0
            elif label is None or label in own:
                ranked[code] = 1 if label is None else 2
        return ranked

    def _asked(self, place: int) -> frozenset[str]:
        """Return the names in the question to which this turn is the answer."""
        before = self._turns[place - 1] if place else None
        if before is None or before.role != "assistant" or not before.text.rstrip().endswith("?"):
            return frozenset()
        return self._nouns & frozenset(map(_singular, _TOKEN.findall(before.text.lower())))

    def _label(self, tokens: Sequence[str], at: int) -> str | None:
        """Return what the number at this place is called: by a word a little before it, or else after it."""
        before, after = tokens[max(0, at - NEAR_BEFORE) : at], tokens[at + 1 : at + 1 + NEAR_AFTER]
        for words in (reversed(before), iter(after)):
            for word in words:
                if word.lower() in _ENGLISH.conjunctions or any(char.isdigit() for char in word):
                    break
                if _singular(word.lower()) in self._nouns:
                    return _singular(word.lower())
        return None

    def _says_more(self) -> bool:
        """Say whether words are left in the request that neither name the tool nor say nothing."""
        about = self._tool.description if isinstance(self._tool.description, str) else ""
        named = set(
            re.findall(r"[a-z']+", f"{self._tool.name} {about.partition(':')[0]}".replace("_", " ").lower())
        )
        known = {_stem(word) for word in named | _TALK}
        words = re.findall(r"[^\W_]+(?:['’@.-][^\W_]+)*", self._request.lower().replace("’", "'"))
        return any(_stem(word) not in known and word not in self._used for word in words)


def _kind(held: Json) -> object:
    kind = held.get("type")
    if isinstance(options := held.get("anyOf"), list):
        kinds = [_kind(mapping(one)) for one in options]
        kind = next((one for one in kinds if one != "null"), None)
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    return kind


def _told(described: Json, name: str) -> Json:
    told = mapping(described.get(name))
    options = told.get("anyOf")
    inner = (
        next((mapping(one) for one in options if mapping(one).get("type") == "string"), {})
        if isinstance(options, list)
        else {}
    )
    return {**inner, **told}


def _coded(tool: FunctionTool) -> Sequence[str]:
    """Return the properties of a tool that are numbers, codes or addresses."""
    described = mapping(parameters(tool).get("properties"))
    return [name for name in described if _matcher(name, _told(described, name))]


def _matcher(name: str, told: Json, *, needed: bool = True) -> Callable[[str], bool] | None:
    """Return what says whether a word can be this property, if it is a number, a code or an address."""
    if _kind(told) not in ("string", None) or "enum" in told:
        return None
    if isinstance(pattern := told.get("pattern"), str):
        try:
            return re.compile(pattern).search  # type: ignore[return-value]
        except re.error:
            pass
    about = told.get("description")
    if isinstance(about, str) and (counted := _COUNTED.search(about)):
        digits = int(next(numbers_in(counted[1])))
        return lambda word: bool(re.fullmatch(rf"\d{{{digits}}}", word))
    if told.get("format") == "email" or "email" in name.lower():
        return lambda word: bool(_EMAIL.fullmatch(word))
    if _PHONE.search(name):
        return lambda word: bool(re.fullmatch(rf"\+?(?:\d-?){{{PHONE_DIGITS},}}", word))
    if _ID.search(name) or _POST.search(name):
        least = 1 if needed else OPTIONAL_DIGITS
        return lambda word: sum(char.isdigit() for char in word) >= least
    return None


def _codes(tokens: Sequence[str], matches: Callable[[str], bool]) -> Iterator[tuple[str, int]]:
    """Yield the words that match, and where they stand; if there are none, what pairs of them make together."""
    single = [(word, at) for at, word in enumerate(tokens) if matches(word)]
    pairs = [(one + other, at) for at, (one, other) in enumerate(pairwise(tokens)) if _parts(one, other)]
    yield from single or [(word, at) for word, at in pairs if matches(word)]


def _parts(one: str, other: str) -> bool:
    return any(char.isdigit() for char in one) and any(char.isdigit() for char in other)


def _nouns(name: str, tool: FunctionTool) -> frozenset[str]:
    """Return the words by which a property is called: `order` for order_id, the tool's own for a mere id."""
    words = {_singular(word) for word in re.findall(r"[a-z]+", name.lower())} - _GENERIC
    return frozenset(words or {_singular(word) for word in re.findall(r"[a-z]+", tool.name.lower())})


def _singular(word: str) -> str:
    return word.removesuffix("'s").removesuffix("s")


def _stem(word: str) -> str:
    return re.sub(r"(?:'s|ing|ed|es|s|e)$", "", word) or word
