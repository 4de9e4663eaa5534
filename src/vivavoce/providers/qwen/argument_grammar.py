"""The arguments that a model is to choose: how the JSON of them begins, and a grammar of how it goes on.

A text is copied: it is held to words that the caller said one after another, or it is null, which says that the
caller has not told it. Pure.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from vivavoce.protocol.session import FunctionTool
from vivavoce.providers.base import ToolCall
from vivavoce.providers.dialogue import Turn
from vivavoce.providers.json_schema import Json, form, mapping, parameters, valid
from vivavoce.providers.qwen.argument_search import Evidence, own_words

__all__ = ["ASKING", "asking", "beginning", "call", "completed", "rest", "wrong"]

ASKING = "Could you tell me"
NULL = "null"
NUMBERS = {
    "integer": '"-"? [0-9]{1,15}',
    "number": '"-"? [0-9]{1,15} ("." [0-9]{1,6})?',
    "boolean": '"true" | "false"',
}
ANY_TEXT = r'"\"" [^"\\\x00-\x1F]{1,80} "\""'
REACH = 3
"""turns from which words may be copied, the request's included"""

_COMPUTED = re.compile(r"expression|formula|equation|calculation", re.IGNORECASE)
_WITHOUT_SPACES = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_WORD = re.compile(r"[^\W_](?:\S*[^\W_])?")
_FULL_STOP = re.compile(r"[.?!;]\W*\s")
_REQUEST = re.compile(
    r"\W+please\b|,\s+(?:so )?(?:(?:can|could|will|would|do|does|did|is|are|may|shall|should) "
    r"(?:i|you|we|they|it|somebody|someone)|i want|i need|i(?:['’]d| would) like)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"[,.;:(]|\b(?:such as|for example|e\.g)", re.IGNORECASE)
_THEIRS = re.compile(r"\b(?:their|(?:the )?(?:caller|customer|user|client)['’]s)(?=\s)", re.IGNORECASE)
_BEGUN = re.compile(
    r"(?:the|an?|your|what|when|where|which|who|whom|whose|why|how|if|whether)\b", re.IGNORECASE
)
_IDLE = re.compile(
    r"^(?:(?:um+|uh+|er+|oh|well|so|and|but|please|it['’]?s)\b[\s,]*)+|(?:[\s,]*\b(?:please|um+|uh+|and))+$",
    re.IGNORECASE,
)


def beginning(evidence: Evidence) -> str:
    """Return the JSON as far as it is known: what was found, and the name of what is to be chosen first."""
    found = "".join(f"{_json(name)}: {_json(value)}, " for name, value in evidence.found.items())
    return "{" + found + _json(next(iter(evidence.left))) + ":"


def rest(tool: FunctionTool, evidence: Evidence, turns: Sequence[Turn]) -> str | None:
    """Return a GBNF grammar of what follows; None where a value has parts, for which this is no way."""
    schema, described = mapping(form(tool)["properties"]), mapping(parameters(tool).get("properties"))
    said = [own_words(one) for one in turns[-REACH:] if one.role == "user"]
    words = [word for text in said for word in _words(text)]
    rules, root = [], list[str]()
    for place, (name, choices) in enumerate(evidence.left.items()):
        copied = words if _is_copied(name, mapping(described.get(name)), said) else []
        value = _value(mapping(schema[name]), choices, copied)
        if value is None:
            return None
        rules.append(f"value{place} ::= {value}")
        root += [_literal(f", {_json(name)}: " if place else " "), f"value{place}"]
    copies = [f"word{place} ::= {copy}" for place, copy in enumerate(_copies(words))]
    start = [f"span ::= {' | '.join(f'word{place}' for place in range(len(words)))}"] if words else []
    return "\n".join([f"root ::= {' '.join(root)}", *rules, *start, *copies])


def _value(held: Json, choices: Sequence[object], words: Sequence["_Word"]) -> str | None:
    if choices:
        return " | ".join(_literal(_json(choice)) for choice in choices)
    kinds = {str(mapping(one).get("type")) for one in _options(held)} - {NULL}
    if kinds == {"string"}:
        text = r'"\"" span "\""' if words else ANY_TEXT
        return f'{text} | "{NULL}"'
    return NUMBERS.get(kinds.pop()) if len(kinds) == 1 else None


def _options(held: Json) -> Sequence[object]:
    options = held.get("anyOf")
    return options if isinstance(options, list) else [held]


def _is_copied(name: str, told: Json, said: Sequence[str]) -> bool:
    """Say whether a text stands in the caller's words: it is not worked out, and has no form of its own."""
    return not (_COMPUTED.search(name) or told.get("format") or any(map(_WITHOUT_SPACES.search, said)))


@dataclass(frozen=True)
class _Word:
    """A word, and what is between it and the next, if that is of the same sentence."""

    text: str
    gap: str | None


def _words(text: str) -> Iterator[_Word]:
    found = list(_WORD.finditer(text))
    for word, after in zip(found, [*found[1:], None], strict=True):
        gap = text[word.end() : after.start()] if after else None
        ends = after is None or _ends(word[0], text[word.end() :])
        yield _Word(word[0], None if ends else gap)


def _ends(word: str, after: str) -> bool:
    """Say whether a sentence ends here, or what is wished begins (`, can I`); after `Dr.` it goes on."""
    if _REQUEST.match(after):
        return True
    return bool(_FULL_STOP.match(after)) and not (after.startswith(".") and len(word) <= 3 and word.isalpha())


def _copies(words: Sequence[_Word]) -> Iterator[str]:
    for place, word in enumerate(words):
        more = "" if word.gap is None else f" ({_literal(_inside(word.gap))} word{place + 1})?"
        yield _literal(_inside(word.text)) + more


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _inside(text: str) -> str:
    """Return how a text stands between the quotes of JSON."""
    return _json(text)[1:-1]


def _literal(text: str) -> str:
    """Return how a text stands in a GBNF grammar."""
    return _json(text)


def completed(tool: FunctionTool, written: str) -> dict[str, object]:
    """Return the arguments that a model wrote, without those that it left open; none if it broke off."""
    try:
        filled = msgspec.json.decode(written, type=dict[str, object])
    except msgspec.DecodeError:
        return {}
    tidy = {name: _IDLE.sub("", value) if isinstance(value, str) else value for name, value in filled.items()}
    return {
        name: value
        for name, value in tidy.items()
        if value is not None and (value != "" or name in _needed(tool))
    }


def wrong(tool: FunctionTool, arguments: Json) -> Sequence[str]:
    """Return which arguments a tool needs and has not, or are not what it takes."""
    properties, needed = mapping(form(tool)["properties"]), _needed(tool)
    return [
        name
        for name, held in properties.items()
        if not (valid(arguments[name], mapping(held)) if name in arguments else name not in needed)
    ]


def _needed(tool: FunctionTool) -> Sequence[str]:
    needed = form(tool)["required"]
    return needed if isinstance(needed, list) else []


def asking(tool: FunctionTool, names: Sequence[str]) -> str:
    """Return the question for arguments that the caller has not told, two at a time.

    It is put together here: a small model that is told to ask tends to answer instead, with values it makes up.
    """
    described = mapping(parameters(tool).get("properties"))
    return f"{ASKING} {' and '.join(_told(name, mapping(described.get(name))) for name in names[:2])}?"


def _told(name: str, schema: Json) -> str:
    """Return what an argument is, as one says it to the caller."""
    told = schema.get("description")
    told = _ASIDE.split(" ".join(told.split()))[0] if isinstance(told, str) else ""
    told = _THEIRS.sub("your", told) or name.replace("_", " ")
    told = told if told[1:2].isupper() else told[:1].lower() + told[1:]
    return told if _BEGUN.match(told) else f"the {told}"


def call(tool: FunctionTool, arguments: Json) -> ToolCall:
    """Return the call of a tool with these arguments, in the order in which the tool has them."""
    known = [name for name in mapping(form(tool)["properties"]) if name in arguments]
    return ToolCall(tool.name, _json({name: arguments[name] for name in known}))
