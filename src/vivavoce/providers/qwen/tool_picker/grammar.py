"""The arguments that a model chooses: the beginning of their JSON, and a grammar for the rest.

Text is copied: it is limited to consecutive words of the user, or null if the user has not said it. No I/O.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from vivavoce.protocol.json_schema import Schema, as_schema
from vivavoce.protocol.session import FunctionTool
from vivavoce.providers.dialogue import DialogueTurn
from vivavoce.providers.qwen.tool_picker import pattern
from vivavoce.providers.qwen.tool_picker.arguments import Arguments, ToolArgument, own_words, parameters_of

NUMBERS = {
    "integer": '"-"? [0-9]{1,15}',
    "number": '"-"? [0-9]{1,15} ("." [0-9]{1,6})?',
    "boolean": '"true" | "false"',
}
ANY_TEXT = r'"\"" [^"\\\x00-\x1F]{1,80} "\""'
REACH = 3
"""turns from which words may be copied, including the request"""

_COMPUTED, _NEXT_REQUEST = pattern("computed"), pattern("next_request")
_WITHOUT_SPACES = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_WORD = re.compile(r"[^\W_](?:\S*[^\W_])?")
_FULL_STOP = re.compile(r"[.?!;]\W*\s")


def known_arguments(found: Arguments) -> str:
    """Return the JSON of the known arguments, up to the name of the first one to be chosen."""
    known = "".join(f"{_json(name)}: {_json(value)}, " for name, value in found.known.items())
    return "{" + known + _json(next(iter(found.open))) + ":"


def argument_grammar(tool: FunctionTool, found: Arguments, turns: Sequence[DialogueTurn]) -> str | None:
    """Return a GBNF grammar of the rest; None for an object or array, which it cannot express."""
    parameters = {one.name: one for one in parameters_of(tool)}
    texts = [own_words(turn) for turn in turns[-REACH:] if turn.role == "user"]
    words = [word for text in texts for word in _words(text)]
    rules, root = [], list[str]()
    for place, (name, choices) in enumerate(found.open.items()):
        copied = words if _is_copied(parameters[name], texts) else []
        value = _value(parameters[name].schema, choices, copied)
        if value is None:
            return None
        rules.append(f"value{place} ::= {value}")
        root += [_json(f", {_json(name)}: " if place else " "), f"value{place}"]
    if words:
        rules.append(f"span ::= {' | '.join(f'word{place}' for place in range(len(words)))}")
    for place, word in enumerate(words):
        more = "" if word.gap is None else f" ({_inner_literal(word.gap)} word{place + 1})?"
        rules.append(f"word{place} ::= {_inner_literal(word.text)}{more}")
    return "\n".join([f"root ::= {' '.join(root)}", *rules])


def _value(schema: Schema, choices: Sequence[object], words: Sequence["_Word"]) -> str | None:
    if choices:
        return " | ".join(_json(_json(choice)) for choice in choices)
    options = schema.get("anyOf")
    types = {str(as_schema(one).get("type")) for one in (options if isinstance(options, list) else [schema])}
    types.discard("null")
    if types == {"string"}:
        text = r'"\"" span "\""' if words else ANY_TEXT
        return f'{text} | "null"'
    return NUMBERS.get(types.pop()) if len(types) == 1 else None


def _is_copied(parameter: ToolArgument, texts: Sequence[str]) -> bool:
    """Return whether a text must be in the user's words: it has no format, and is not computed."""
    has_form = _COMPUTED.search(parameter.name) or parameter.described.get("format")
    return not (has_form or any(map(_WITHOUT_SPACES.search, texts)))


class _Word(NamedTuple):
    """A word, and the characters up to the next one, if that is in the same sentence."""

    text: str
    gap: str | None


def _words(text: str) -> Iterator[_Word]:
    found = list(_WORD.finditer(text))
    for word, after in zip(found, [*found[1:], None], strict=True):
        ends = after is None or _ends(word[0], text[word.end() :])
        yield _Word(word[0], None if ends or after is None else text[word.end() : after.start()])


def _ends(word: str, after: str) -> bool:
    """Return whether a sentence ends here, or a request begins (`, can I`); not after `Dr.`."""
    if _NEXT_REQUEST.match(after):
        return True
    return bool(_FULL_STOP.match(after)) and not (after.startswith(".") and len(word) <= 3 and word.isalpha())


def _json(value: object) -> str:
    """Return a value as JSON; a literal of a GBNF grammar has the same form."""
    return msgspec.json.encode(value).decode()


def _inner_literal(text: str) -> str:
    """Return the grammar literal of a text inside the quotes of JSON."""
    return _json(_json(text)[1:-1])
