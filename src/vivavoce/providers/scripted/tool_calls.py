"""Which tools the scripted chat model calls, and with which arguments.

Arguments are extracted from plain words by the tool's JSON Schema, deterministically and by simple rules: words
after the property's own name, quoted words, numbers, ids, the name after "in" or "to". Required arguments that
are not found get the schema's default, else the smallest value of the type, else the whole request.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import UNSET

from vivavoce.protocol.session import FunctionTool, ToolChoiceFunction
from vivavoce.providers.base import ChatRequest, ToolCall
from vivavoce.providers.dialogue import spaced_name
from vivavoce.providers.scripted import PATTERNS, WORDS
from vivavoce.text.en.numbers import numbers_in

NO_WORDS = "I said something for"
"""Beginning of the scripted transcriber's text where it has no words; such a text matches any tool."""

_GENERIC_WORDS = frozenset(WORDS["generic_words"].split())


def sentences_of(text: str) -> list[str]:
    """Return the sentences and lines of a text."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def stems(text: str) -> set[str]:
    """Return the key words of a text, without endings, and without generic words."""
    words = set(re.findall(r"[a-z0-9']+", text.lower())) - _GENERIC_WORDS
    return {re.sub(r"(?:ing|es|s|ed)$", "", word) if len(word) > 4 else word for word in words}


def calls_for(asked: str, rules: str, request: ChatRequest) -> tuple[ToolCall, ...]:
    """Return the calls that the user's words or the session's rules request."""
    tools = {tool.name: tool for tool in request.tools}
    match request.tool_choice:
        case "none":
            return ()
        case ToolChoiceFunction(name=name):
            chosen = [tools[name]] if name in tools else []
        case "required":
            chosen = _chosen(asked, rules, request.tools) or list(request.tools[:1])
        case _:
            chosen = _chosen(asked, rules, request.tools)
    return tuple(_call(tool, asked, rules) for tool in chosen)


def _chosen(asked: str, rules: str, tools: Sequence[FunctionTool]) -> list[FunctionTool]:
    """Return the tools that the user names, else the tool that matches the words, else those of the rules."""
    if named := [tool for tool in tools if _names(asked, tool) and not PATTERNS["never"].search(asked)]:
        return named
    allowed = [tool for tool in tools if not _is_forbidden(rules, tool)]
    scores = [(_score(asked, tool), -index) for index, tool in enumerate(allowed)]
    if scores and (best := max(scores))[0] >= 2:
        return [allowed[-best[1]]]
    return [tool for tool in allowed if _is_ordered(asked, rules, tool)]


def _names(text: str, tool: FunctionTool) -> bool:
    words = re.escape(tool.name).replace("_", r"[\s_-]+")
    called = rf"\b(?:call|use|invoke|run|tool)\s+(?:the\s+)?(?:tool\s+)?[`'\"]?{words}(?!\w)"
    by_itself = rf"(?<!\w){words}(?!\w)"
    patterns = [by_itself, called] if "_" in tool.name else [called]
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns)


def _is_forbidden(rules: str, tool: FunctionTool) -> bool:
    return any(
        PATTERNS["never"].search(sentence) and _names(sentence, tool) for sentence in sentences_of(rules)
    )


def _score(text: str, tool: FunctionTool) -> int:
    """Score a tool: two points for each word of its name in `text`, one for each of its description."""
    words, description = stems(text), tool.description if tool.description is not UNSET else ""
    return 2 * len(words & stems(spaced_name(tool.name))) + len(words & stems(description))


def _is_ordered(asked: str, rules: str, tool: FunctionTool) -> bool:
    """Return whether the rules request this tool now; speech without words satisfies all conditions."""
    for sentence in sentences_of(rules):
        if not _names(sentence, tool) or not PATTERNS["directive"].search(sentence):
            continue
        if not PATTERNS["condition"].search(sentence) or not asked or asked.startswith(NO_WORDS):
            return True
        if stems(asked) & stems(sentence):
            return True
    return False


def _call(tool: FunctionTool, asked: str, rules: str) -> ToolCall:
    schema = tool.parameters if tool.parameters is not UNSET else {}
    rule = " ".join(sentence for sentence in sentences_of(rules) if _names(sentence, tool))
    request = "" if asked.startswith(NO_WORDS) and rule else asked
    texts = re.sub(re.escape(tool.name), " ", request), rule.partition(tool.name)[2]
    return ToolCall(tool.name, msgspec.json.encode(arguments_from(schema, *texts)).decode())


# arguments

_DEPTH = 4
_STOP = r"(?=[.,;:!?]|\s+(?:and|or|for|in|on|at|to|from|with|by|please|is|now|today|tomorrow)\b|\s*$)"
_CAPITALS = r"((?:[A-Z][\w'’-]*)(?:\s+[A-Z][\w'’-]*)*)"

Schema = Mapping[str, object]


def arguments_from(schema: Schema, *texts: str) -> dict[str, object]:
    """Return arguments that fit an object's JSON Schema, from the first of `texts` that contains them."""
    return _Filler(texts).fields(schema, 0)


class _Filler:
    """Fills the arguments of one call; a number or name is used only once."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._texts = texts
        self._used: set[str] = set()
        self._numbers = [list(numbers_in(text)) for text in texts]

    def fields(self, schema: Schema, depth: int) -> dict[str, object]:
        properties, required = schema.get("properties"), schema.get("required")
        if not isinstance(properties, dict) or depth > _DEPTH:
            return {}
        needed = set(required) if isinstance(required, list | tuple) else set()
        found = {
            str(name): self._value(str(name), part, depth)
            for name, part in properties.items()
            if isinstance(part, dict)
        }
        return {
            name: value if value is not None else self._made_up(properties[name])
            for name, value in found.items()
            if value is not None or name in needed
        }

    def _value(self, name: str, schema: Schema, depth: int) -> object:
        """Return the value of this property in the text, or None."""
        if "const" in schema:
            return schema["const"]
        if isinstance(choices := schema.get("enum"), list | tuple):
            return self._choice(choices)
        match _type(schema):
            case "integer":
                number = self._number(schema)
                return None if number is None else int(number)
            case "number":
                return self._number(schema)
            case "boolean":
                return not PATTERNS["no"].search(self._texts[0])
            case "array":
                items = schema.get("items")
                one = (
                    self._value(name, items, depth + 1) if isinstance(items, dict) and depth < _DEPTH else None
                )
                return None if one is None else [one]
            case "object":
                return self.fields(schema, depth + 1) or None
            case _:
                return self._string(name, schema)

    def _choice(self, choices: Sequence[object]) -> object:
        for text in self._texts:
            for choice in choices:
                words = str(choice).replace("_", " ").replace("-", " ")
                if re.search(rf"\b{re.escape(words)}", text, re.IGNORECASE):
                    return choice
        return None

    def _number(self, schema: Schema) -> float | int | None:
        low, high = schema.get("minimum"), schema.get("maximum")
        for numbers in self._numbers:
            for number in numbers:
                if str(number) in self._used:
                    continue
                if isinstance(low, int | float) and number < low:
                    continue
                if isinstance(high, int | float) and number > high:
                    continue
                numbers.remove(number)
                return number
        return None

    def _string(self, name: str, schema: Schema) -> str | None:
        for text in self._texts:
            for value in _candidates(name, schema, text):
                if value and value not in self._used:
                    self._used.add(value)
                    return value
        return None

    def _made_up(self, schema: Schema) -> object:
        """Return a value that fits the schema, for a property that the text does not mention."""
        if "default" in schema:
            return schema["default"]
        if isinstance(choices := schema.get("enum"), list | tuple) and choices:
            return choices[0]
        low = schema.get("minimum")
        match _type(schema):
            case "integer" | "number":
                return low if isinstance(low, int | float) else 0
            case "boolean":
                return True
            case "array":
                return []
            case "object":
                return _Filler(self._texts[:1]).fields(schema, 1)
            case "null":
                return None
            case _:
                return self._texts[0]


def _candidates(name: str, schema: Schema, text: str) -> Iterator[str]:
    """Yield candidates for the property `name`, best first."""
    if "email" in name.lower() or schema.get("format") == "email":
        yield from PATTERNS["email"].findall(text)
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name) or [name]
    label = r"[\s_-]+".join(map(re.escape, words))
    after = rf"\b{label}\b(?:\s+(?:is|was|to|of|number|called|named))*\s*[:=]?\s+"
    for match in re.finditer(rf"{after}[\"“']?([\w#@+][^\"”.,;!?]*?)[\"”']?{_STOP}", text, re.IGNORECASE):
        yield match[1].strip().lstrip("#")
    if PATTERNS["id"].search(name):
        yield from PATTERNS["with_digit"].findall(text)
    for match in PATTERNS["quoted_argument"].finditer(text):
        yield (match[1] or match[2]).strip()
    if re.search(r"date|day|when", name, re.IGNORECASE) or schema.get("format") == "date":
        yield from PATTERNS["day"].findall(text)
    near = _prepositions(name)
    yield from re.findall(rf"\b(?:{near})\s+(?:the\s+)?{_CAPITALS}", text)
    yield from re.findall(rf"(?<=[a-z,]\s){_CAPITALS}", text)
    for value in re.findall(rf"\b(?:{near})\s+(?:the\s+)?([\w][^.,;:!?]*?){_STOP}", text, re.IGNORECASE):
        yield value.strip()


def _prepositions(name: str) -> str:
    for names, prepositions in WORDS["prepositions"].items():
        if re.search(rf"(?:^|_)(?:{names})(?:$|_)", name, re.IGNORECASE):
            return str(prepositions)
    return "in|at|near|for|about|of|on|to|with"


def _type(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list | tuple):
        kind = next((one for one in kind if one != "null"), "null")
    return str(kind or "string")
