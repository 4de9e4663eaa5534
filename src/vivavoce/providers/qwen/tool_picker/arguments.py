"""Finds a tool's arguments in the user's own words: known, open and missing ones.

A small model invents numbers, codes and addresses. Therefore they are extracted here, from the request and then
from earlier turns. No I/O; works for any tool, by the schema's types, patterns and choices, and the properties'
names.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

import msgspec
from msgspec import UNSET

from vivavoce.protocol.json_schema import Schema, argument_schema, as_schema, fits_schema
from vivavoce.protocol.session import FunctionTool
from vivavoce.providers.base import ToolCall
from vivavoce.providers.dialogue import DialogueTurn
from vivavoce.providers.qwen.tool_picker import WORDS, pattern
from vivavoce.text.completeness import WordClasses
from vivavoce.text.en.inverse_normalization import as_written
from vivavoce.text.en.numbers import numbers_in

ASKING: str = WORDS["asking"]
"""The beginning of a question for missing arguments."""
WORDS_BEFORE, WORDS_AFTER = 5, 3
"""The greatest distance in words between a number and its name."""
PHONE_DIGITS = 5
OPTIONAL_DIGITS = 3

_TOKEN = re.compile(r"\+?[\w@.+-]*\w")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_TOOL_REMARK = re.compile(r"^\(From .*", re.MULTILINE | re.DOTALL)
_AMOUNT, _COUNTED_DIGITS, _FILLERS = pattern("amount"), pattern("counted_digits"), pattern("fillers")
_IDENTIFIER, _PHONE, _POSTCODE = pattern("identifier"), pattern("phone"), pattern("postcode")
_ASIDE, _CALLERS, _DETERMINED = pattern("aside"), pattern("callers"), pattern("determined")
_GENERIC_NAMES = set(WORDS["generic_names"].split())
_ENGLISH = WordClasses.of("en")
_IDLE_WORDS = frozenset(WORDS["idle_words"].split()).union(
    _ENGLISH.answers,
    _ENGLISH.auxiliaries,
    _ENGLISH.conjunctions,
    _ENGLISH.determiners,
    _ENGLISH.fillers,
    _ENGLISH.greetings,
    _ENGLISH.interrogatives,
    _ENGLISH.prepositions,
    _ENGLISH.subjects,
)


@dataclass(frozen=True)
class Arguments:
    """A tool's arguments: those that are `known`, those `open` to the model's choice, and those `missing`.

    An open argument is limited to the listed values, or if there are none, to any words of the user.
    """

    known: Mapping[str, object] = field(default_factory=dict)
    open: Mapping[str, Sequence[object]] = field(default_factory=dict)
    missing: Sequence[str] = ()

    @property
    def is_complete(self) -> bool:
        """Whether there are arguments, and all are known."""
        return bool(self.known) and not self.open and not self.missing


@dataclass(frozen=True)
class ToolArgument:
    """An argument of a tool: `schema` is the simplified schema, `described` the tool's own."""

    name: str
    schema: Schema
    described: Schema
    required: bool

    @property
    def about(self) -> str:
        """The description in one line, or an empty string."""
        about = self.described.get("description")
        return " ".join(about.split()) if isinstance(about, str) else ""


def parameters_of(tool: FunctionTool) -> Sequence[ToolArgument]:
    """Return the arguments of a tool, in order."""
    schema = argument_schema(tool)
    own = as_schema(tool.parameters.get("properties")) if tool.parameters is not UNSET else {}
    required = schema["required"]
    return [
        ToolArgument(name, as_schema(part), _own_schema(own.get(name)), name in cast("list[str]", required))
        for name, part in as_schema(schema["properties"]).items()
    ]


def _own_schema(part: object) -> Schema:
    """Return an argument's schema, merged with that of its string alternative."""
    described = as_schema(part)
    options = described.get("anyOf")
    texts = (as_schema(option) for option in (options if isinstance(options, list) else ()))
    return {**next((text for text in texts if text.get("type") == "string"), {}), **described}


def own_words(turn: DialogueTurn) -> str:
    """Return the text of a turn, without tool results."""
    return as_written(_TOOL_REMARK.sub("", turn.text).strip())


def find_arguments(
    tool: FunctionTool, tools: Sequence[FunctionTool], turns: Sequence[DialogueTurn]
) -> Arguments:
    """Find the arguments of a tool, one of several, in a conversation whose last turn is the request."""
    return _Search(tool, tools, [DialogueTurn(turn.role, as_written(turn.text)) for turn in turns]).arguments()


class _Search:
    def __init__(
        self, tool: FunctionTool, tools: Sequence[FunctionTool], turns: Sequence[DialogueTurn]
    ) -> None:
        self._tool, self._turns = tool, turns
        self._request = turns[-1].text if turns else ""
        self._nouns = frozenset(
            noun
            for one in tools
            for parameter in parameters_of(one)
            if _matcher(parameter)
            for noun in _nouns(parameter.name, one)
        )
        self._used: set[str] = set()

    def arguments(self) -> Arguments:
        parameters = parameters_of(self._tool)
        known: dict[str, object] = {}
        open_ones: dict[str, Sequence[object]] = {}
        missing: list[str] = []
        # codes first, so that words inside a code are not used for other arguments
        for parameter in sorted(parameters, key=lambda one: _matcher(one) is None):
            options = self._options(parameter)
            if options is None:
                open_ones[parameter.name] = ()
            elif len(options) == 1:
                known[parameter.name] = options[0]
                self._used.add(str(options[0]))
            elif options:
                open_ones[parameter.name] = options
            elif parameter.required:
                missing.append(parameter.name)
        return Arguments(known, open_ones, tuple(one.name for one in parameters if one.name in missing))

    def _options(self, parameter: ToolArgument) -> Sequence[object] | None:
        """Return the possible values of an argument; empty if there are none, None if the model must choose."""
        schema = parameter.schema
        if "const" in schema:
            return [schema["const"]]
        if isinstance(choices := schema.get("enum"), list):
            return self._named_choices(choices) or (choices if parameter.required else [])
        kind = _type(schema)
        if kind in ("integer", "number"):
            return self._numbers(schema, whole=kind == "integer")
        if kind != "string":
            return None
        if matches := _matcher(parameter):
            return self._codes(parameter.name, matches)
        return None if self._says_more() else []

    def _named_choices(self, choices: Sequence[object]) -> Sequence[object]:
        words = f" {' '.join(_TOKEN.findall(self._request.lower()))} "
        return [one for one in choices if f" {str(one).replace('_', ' ').lower()} " in words]

    def _numbers(self, schema: Schema, *, whole: bool) -> Sequence[object] | None:
        low, high = schema.get("minimum"), schema.get("maximum")
        numbers = [
            number
            for number in dict.fromkeys(numbers_in(self._request))
            if not (isinstance(low, int | float) and number < low)
            and not (isinstance(high, int | float) and number > high)
            and (not whole or number == int(number))
        ]
        return numbers or (None if _AMOUNT.search(self._request) else [])

    def _codes(self, name: str, matches: Callable[[str], bool]) -> Sequence[str]:
        """Return the codes of this kind that are meant: named ones of this turn, other ones, or earlier ones.

        A code after another property's name is not meant.
        """
        own = _nouns(name, self._tool)
        ranked = [self._ranked(place, own, matches) for place in reversed(range(len(self._turns)))]
        now, before = ranked[:1], ranked[1:]
        for turn, rank in (
            *((turn, rank) for rank in (2, 1) for turn in now),
            *((turn, 2) for turn in before),
            *((turn, 0) for turn in now),
            *((turn, 1) for turn in before),
        ):
            if codes := [code for code, its in turn.items() if its == rank and code not in self._used]:
                return codes
        return []

    def _ranked(self, place: int, own: frozenset[str], matches: Callable[[str], bool]) -> Mapping[str, int]:
        """Return the codes of a turn: 2 with our name, 1 without a name, 0 in answer to other questions."""
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
        """Return the properties in the question that this turn answers."""
        before = self._turns[place - 1] if place else None
        if before is None or before.role != "assistant" or not before.text.rstrip().endswith("?"):
            return frozenset()
        return self._nouns & frozenset(map(_singular, _TOKEN.findall(before.text.lower())))

    def _label(self, tokens: Sequence[str], at: int) -> str | None:
        """Return the name of the number at this position: a word shortly before it, or else after it."""
        before, after = tokens[max(0, at - WORDS_BEFORE) : at], tokens[at + 1 : at + 1 + WORDS_AFTER]
        for words in (reversed(before), iter(after)):
            for word in words:
                if word.lower() in _ENGLISH.conjunctions or any(char.isdigit() for char in word):
                    break
                if _singular(word.lower()) in self._nouns:
                    return _singular(word.lower())
        return None

    def _says_more(self) -> bool:
        """Return whether the request has words that are neither the tool's name nor filler."""
        about = self._tool.description if isinstance(self._tool.description, str) else ""
        names = f"{self._tool.name} {about.partition(':')[0]}".replace("_", " ").lower()
        known = {_stem(word) for word in _IDLE_WORDS.union(re.findall(r"[a-z']+", names))}
        words = re.findall(r"[^\W_]+(?:['’@.-][^\W_]+)*", self._request.lower().replace("’", "'"))
        return any(_stem(word) not in known and word not in self._used for word in words)


def _type(schema: Schema) -> object:
    kind = schema.get("type")
    if isinstance(options := schema.get("anyOf"), list):
        kind = [_type(as_schema(option)) for option in options]
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    return kind


def _matcher(parameter: ToolArgument) -> Callable[[str], bool] | None:
    """Return a predicate for words that can be this argument: a number, a code or an address."""
    name, described = parameter.name, parameter.described
    if _type(described) not in ("string", None) or "enum" in described:
        return None
    if isinstance(given := described.get("pattern"), str):
        try:
            search = re.compile(given).search
        except re.error:
            pass
        else:
            return lambda word: bool(search(word))
    if counted := _COUNTED_DIGITS.search(parameter.about):
        digits = int(next(numbers_in(counted[1])))
        return lambda word: bool(re.fullmatch(rf"\d{{{digits}}}", word))
    if described.get("format") == "email" or "email" in name.lower():
        return lambda word: bool(_EMAIL.fullmatch(word))
    if _PHONE.search(name):
        return lambda word: bool(re.fullmatch(rf"\+?(?:\d-?){{{PHONE_DIGITS},}}", word))
    if _IDENTIFIER.search(name) or _POSTCODE.search(name):
        least = 1 if parameter.required else OPTIONAL_DIGITS
        return lambda word: sum(char.isdigit() for char in word) >= least
    return None


def _codes(tokens: Sequence[str], matches: Callable[[str], bool]) -> Iterator[tuple[str, int]]:
    """Yield matching words with their positions; if there are none, matching pairs of words."""
    single = [(word, at) for at, word in enumerate(tokens) if matches(word)]
    pairs = [(one + other, at) for at, (one, other) in enumerate(pairwise(tokens)) if _parts(one, other)]
    yield from single or [(word, at) for word, at in pairs if matches(word)]


def _parts(one: str, other: str) -> bool:
    return any(char.isdigit() for char in one) and any(char.isdigit() for char in other)


def _nouns(name: str, tool: FunctionTool) -> frozenset[str]:
    """Return the words that name a property: `order` for order_id, the tool's own for a plain id."""
    words = {_singular(word) for word in re.findall(r"[a-z]+", name.lower())} - _GENERIC_NAMES
    return frozenset(words or {_singular(word) for word in re.findall(r"[a-z]+", tool.name.lower())})


def _singular(word: str) -> str:
    return word.removesuffix("'s").removesuffix("s")


def _stem(word: str) -> str:
    return re.sub(r"(?:'s|ing|ed|es|s|e)$", "", word) or word


# completing the arguments


def read_arguments(tool: FunctionTool, written: str) -> dict[str, object]:
    """Return the arguments that a model wrote as JSON, without open ones; none if the JSON is incomplete."""
    try:
        arguments = msgspec.json.decode(written, type=dict[str, object])
    except msgspec.DecodeError:
        return {}
    required = {parameter.name for parameter in parameters_of(tool) if parameter.required}
    tidy = {name: _FILLERS.sub("", one) if isinstance(one, str) else one for name, one in arguments.items()}
    return {name: one for name, one in tidy.items() if one is not None and (one != "" or name in required)}


def unfit_arguments(tool: FunctionTool, arguments: Mapping[str, object]) -> Sequence[str]:
    """Return the tool's required arguments that are missing or invalid."""
    return [
        one.name
        for one in parameters_of(tool)
        if (not fits_schema(arguments[one.name], one.schema) if one.name in arguments else one.required)
    ]


def question_for(tool: FunctionTool, names: Sequence[str]) -> str:
    """Return the question for missing arguments, at most two at a time.

    It is a template: a small model that is told to ask tends to answer instead, with invented values.
    """
    known = {one.name: one for one in parameters_of(tool)}
    return f"{ASKING} {' and '.join(_noun_phrase(known[name]) for name in names[:2])}?"


def _noun_phrase(parameter: ToolArgument) -> str:
    about = _CALLERS.sub("your", _ASIDE.split(parameter.about)[0]) or parameter.name.replace("_", " ")
    about = about if about[1:2].isupper() else about[:1].lower() + about[1:]
    return about if _DETERMINED.match(about) else f"the {about}"


def call_of(tool: FunctionTool, arguments: Mapping[str, object]) -> ToolCall:
    """Return the call of a tool with these arguments, in the tool's order."""
    names = [one.name for one in parameters_of(tool) if one.name in arguments]
    return ToolCall(tool.name, msgspec.json.encode({name: arguments[name] for name in names}).decode())
