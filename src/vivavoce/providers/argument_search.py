"""Fills a tool's arguments from plain words by its JSON schema: pure, deterministic, and easily outwitted.

It reads what a person would point at: the words after the property's own name, quoted words, numbers, ids, the
name after "in" or "to". What it does not find and must give, it makes up: the schema's default, else the
smallest value of the type, else the whole request.
"""

import re
from collections.abc import Iterator, Mapping

from vivavoce.text.en.numbers import numbers_in

__all__ = ["arguments_from"]

DEPTH = 4
STOP = r"(?=[.,;:!?]|\s+(?:and|or|for|in|on|at|to|from|with|by|please|is|now|today|tomorrow)\b|\s*$)"
PREPOSITIONS = {
    "from|origin|source|departure|start": "from",
    "to|destination|target|arrival|recipient|end": "to|for",
    "date|day|time|when": "on|at|for|by",
    "topic|subject|query|question": "about|for|of|on",
}
IDS = re.compile(r"(?:^|_)(?:id|ids|code|number|no|zip|phone|reference|order|key)$", re.IGNORECASE)
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
WITH_DIGIT = re.compile(r"#?([A-Za-z-]*\d[\w-]*)")
QUOTED = re.compile(r"[\"“‘]([^\"”’]+)[\"”’]|(?<!\w)'([^']+)'(?!\w)")
DAYS = re.compile(
    r"\b(today|tonight|tomorrow|yesterday|(?:mon|tues|wednes|thurs|fri|satur|sun)day|\d{4}-\d\d-\d\d)\b",
    re.IGNORECASE,
)
CAPITALS = r"((?:[A-Z][\w'’-]*)(?:\s+[A-Z][\w'’-]*)*)"
NO = re.compile(r"\b(?:no|not|off|without|false|don't|never|disable)\b", re.IGNORECASE)

Schema = Mapping[str, object]


def arguments_from(schema: Schema, *texts: str) -> dict[str, object]:
    """Return arguments that fit an object's JSON schema, found in the first of `texts` that has them."""
    return _Filling(texts).fields(schema, 0)


class _Filling:
    """One call's arguments; a number or name that was used once is not used again."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._texts = texts
        self._used: set[str] = set()
        self._numbers = [list(numbers_in(text)) for text in texts]

    def fields(self, schema: Schema, depth: int) -> dict[str, object]:
        properties, required = schema.get("properties"), schema.get("required")
        if not isinstance(properties, dict) or depth > DEPTH:
            return {}
        needed = set(required) if isinstance(required, list | tuple) else set()
        found = {
            str(name): self.value(str(name), part, depth)
            for name, part in properties.items()
            if isinstance(part, dict)
        }
        return {
            name: value if value is not None else _made_up(properties[name], self._texts[0])
            for name, value in found.items()
            if value is not None or name in needed
        }

    def value(self, name: str, schema: Schema, depth: int) -> object:
        """Return what the words say of this property, or None."""
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
                return not NO.search(self._texts[0])
            case "array":
                items = schema.get("items")
                one = self.value(name, items, depth + 1) if isinstance(items, dict) and depth < DEPTH else None
                return None if one is None else [one]
            case "object":
                return self.fields(schema, depth + 1) or None
            case _:
                return self._string(name, schema)

    def _choice(self, choices: list[object] | tuple[object, ...]) -> object:
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


def _candidates(name: str, schema: Schema, text: str) -> Iterator[str]:
    """Yield what may be meant by `name`, best first."""
    if "email" in name.lower() or schema.get("format") == "email":
        yield from EMAIL.findall(text)
    label = r"[\s_-]+".join(map(re.escape, _words(name)))
    after = rf"\b{label}\b(?:\s+(?:is|was|to|of|number|called|named))*\s*[:=]?\s+"
    for match in re.finditer(rf"{after}[\"“']?([\w#@+][^\"”.,;!?]*?)[\"”']?{STOP}", text, re.IGNORECASE):
        yield match[1].strip().lstrip("#")
    if IDS.search(name):
        yield from WITH_DIGIT.findall(text)
    for match in QUOTED.finditer(text):
        yield (match[1] or match[2]).strip()
    if re.search(r"date|day|when", name, re.IGNORECASE) or schema.get("format") == "date":
        yield from DAYS.findall(text)
    near = _prepositions(name)
    yield from re.findall(rf"\b(?:{near})\s+(?:the\s+)?{CAPITALS}", text)
    yield from re.findall(rf"(?<=[a-z,]\s){CAPITALS}", text)
    for value in re.findall(rf"\b(?:{near})\s+(?:the\s+)?([\w][^.,;:!?]*?){STOP}", text, re.IGNORECASE):
        yield value.strip()


def _prepositions(name: str) -> str:
    for names, prepositions in PREPOSITIONS.items():
        if re.search(rf"(?:^|_)(?:{names})(?:$|_)", name, re.IGNORECASE):
            return prepositions
    return "in|at|near|for|about|of|on|to|with"


def _words(name: str) -> list[str]:
    return re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name) or [name]


def _type(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list | tuple):
        kind = next((one for one in kind if one != "null"), "null")
    return str(kind or "string")


def _made_up(schema: object, request: str, depth: int = 0) -> object:
    """Return something that fits the schema when the words say nothing of it."""
    if not isinstance(schema, dict) or depth > DEPTH:
        return request
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
            return _Filling((request,)).fields(schema, depth + 1)
        case "null":
            return None
        case _:
            return request
