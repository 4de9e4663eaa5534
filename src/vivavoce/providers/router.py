"""Which tool does a request need? Two small questions that a small model answers well.

Left to their own tool format, models of this size write calls as prose, or call what nobody asked for (3 right
of 20). Shown a few requests and held to the names of the tools, then to the schema of the one chosen, the 0.5B
was right in 36 of 41, the 1.5B in 39. All of this is pure: the prompts, the forms, what to make of the answers.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import cast

import msgspec
from msgspec import UNSET

from vivavoce.protocol.session import FunctionTool, ToolChoice, ToolChoiceFunction
from vivavoce.providers import ToolCall
from vivavoce.providers.dialogue import Said

__all__ = ["FIXED", "NONE", "call", "details", "eligible", "form", "names", "plain", "question", "valid"]

NONE = "none"

_RULE = (
    "You choose the tool that a caller's request needs, or none. Use a tool whenever one can answer the "
    "request. Greetings, thanks, jokes, small talk and general knowledge need none. Reply with the name only."
)
_TOOLS = """\
Tools:
set_timer(minutes: integer): Start a kitchen timer.
find_recipe(dish: string): Look up a recipe.
train_times(town: string): When trains leave for a town.
track_parcel(code: string): Find out where a parcel is.

"""


def _request(text: str) -> str:
    return f"Request: {text}"


def details(tool: str, request: str) -> str:
    """Return what a model that chose `tool` is asked next."""
    return f"Arguments of {tool} for: {request}"


def _chose(request: str, tool: str, arguments: str) -> tuple[Said, ...]:
    return (
        Said("user", _request(request)),
        Said("assistant", tool),
        Said("user", details(tool, request)),
        Said("assistant", arguments),
    )


def _declined(request: str) -> tuple[Said, ...]:
    return (Said("user", _request(request)), Said("assistant", NONE))


FIXED = (
    Said("system", _RULE),
    Said("user", _TOOLS + _request("hello there")),
    Said("assistant", NONE),
    *_chose("give me seven minutes for the eggs", "set_timer", '{"minutes": 7}'),
    *_declined("who wrote Hamlet?"),
    *_chose("is there still a train to Leeds tonight?", "train_times", '{"town": "Leeds"}'),
    *_declined("I feel tired today"),
    *_chose("my parcel is nine oh two two, did it arrive?", "track_parcel", '{"code": "9022"}'),
    *_chose("how would I make a good lasagna?", "find_recipe", '{"dish": "lasagna"}'),
    *_declined("thank you, bye"),
)
"""What every question begins with, whatever the tools: read once, when the model is opened."""

_ASKED = (
    ("weather|forecast|temperature", ("will I get wet in Lima tonight?", "is it freezing in Oslo?")),
    ("arithmetic|calculat|math", ("nine plus four", "what's seven percent of fifty?")),
    (
        "order|parcel|deliver|shipment",
        ("my parcel is nine oh two two, did it arrive?", "has number 51 been sent?"),
    ),
    ("light|lamp", ("it's too dark in the hall", "lamps off in the bedroom")),
    ("heating|thermostat", ("it's chilly in here", "make it twenty degrees")),
    ("shopping|grocer", ("we're out of milk", "I need six eggs")),
    ("timer|alarm|remind", ("wake me in ten minutes", "don't let me forget the cake at noon")),
    ("calendar|appointment|reserv|booking", ("a table for two at eight", "when can I see the doctor?")),
    ("music|song|play", ("put on something cheerful", "I'd like some jazz")),
    ("message|mail|sms", ("tell Ben I'm late", "write to Ada that it's done")),
    ("transfer|human|agent|operator", ("let me speak to a person", "can somebody else help me?")),
    ("hang.?up|goodbye|end.{1,12}call", ("I have to go now, bye", "that's it, goodbye")),
    ("translat", ("how do you say cat in French?", "what is bread in Italian?")),
    ("clock|the time|current time|date", ("what day is it?", "is it noon yet?")),
)
"""How people ask for the commonest things: no small model knows that an umbrella is about the weather."""

_NOT_ASKED = (
    "who wrote Hamlet?",
    "tell me something funny",
    "thank you very much",
    "I feel tired today",
    "what's a glacier?",
)

_DESCRIPTION_CHARS = 160
_EARLIER_CHARS = 160
_REQUEST_CHARS = 1000
_STRING_CHARS = 80
_DEPTH = 6
_KEPT = ("type", "enum", "const", "minimum", "maximum", "minItems", "maxItems")

Json = Mapping[str, object]


def eligible(tools: Sequence[FunctionTool], choice: ToolChoice) -> Sequence[FunctionTool]:
    """Return the tools that may be called."""
    if choice == "none":
        return ()
    if isinstance(choice, ToolChoiceFunction):
        return [tool for tool in tools if tool.name == choice.name]
    return tools


def question(tools: Sequence[FunctionTool], turns: Sequence[Said]) -> tuple[list[Said], str]:
    """Return the prompt that asks for a tool's name, and the request in it.

    First comes what never changes, then the tools with how people may ask for them, which seldom change, and
    last the request with the two turns before it.
    """
    spoken = [said for said in turns if said.role != "system"]
    request = _line(spoken[-1].text)[:_REQUEST_CHARS] if spoken else ""
    earlier = " / ".join(_line(said.text)[:_EARLIER_CHARS] for said in spoken[-3:-1])
    before = f"Earlier: {earlier}\n" if earlier else ""
    prompt = [*FIXED, *_shown(tools), Said("user", before + _request(request))]
    return prompt, request


def _shown(tools: Sequence[FunctionTool]) -> list[Said]:
    listed = "Now the tools are others:\n" + "\n".join(map(_signature, tools)) + "\n\n"
    others, turns = cycle(_NOT_ASKED), [Said("user", listed + _request("hello there")), Said("assistant", NONE)]
    asked = [(tool.name, _asked(tool)) for tool in tools]
    for which in range(2):
        for name, requests in asked:
            for request in requests[which : which + 1]:
                turns += [Said("user", _request(request)), Said("assistant", name), *_declined(next(others))]
    return turns


def _asked(tool: FunctionTool) -> Sequence[str]:
    about = _about(tool) or tool.name.replace("_", " ")
    topic = f"{tool.name} {about}".lower()
    known = next((requests for pattern, requests in _ASKED if re.search(pattern, topic)), None)
    return known or (f"please {about[0].lower()}{about[1:].rstrip('.')}",)


def _about(tool: FunctionTool) -> str:
    return _line(tool.description)[:_DESCRIPTION_CHARS] if tool.description is not UNSET else ""


def _line(text: str) -> str:
    return " ".join(text.split())


def _signature(tool: FunctionTool) -> str:
    properties = _mapping(form(tool)["properties"])
    described = _mapping(_parameters(tool).get("properties"))
    arguments = ", ".join(
        f"{name}: {_kind(_mapping(what))}{_hint(described, name)}" for name, what in properties.items()
    )
    return f"{tool.name}({arguments})" + (f": {about}" if (about := _about(tool)) else "")


def _kind(schema: Json) -> str:
    if isinstance(options := schema.get("enum"), list):
        return " or ".join(map(str, options))
    return str(schema.get("type", "any"))


def _hint(described: Json, name: str) -> str:
    hint = _mapping(described.get(name)).get("description")
    return f" ({_line(hint)[:60]})" if isinstance(hint, str) else ""


def _parameters(tool: FunctionTool) -> Json:
    return tool.parameters if tool.parameters is not UNSET else {}


def _mapping(value: object) -> Json:
    return cast("Json", value) if isinstance(value, Mapping) else {}


def names(tools: Sequence[FunctionTool], *, none: bool) -> str:
    """Return a GBNF grammar of the tools' names, and (if allowed) of none."""
    known = [tool.name for tool in tools] + ([NONE] if none else [])
    return "root ::= " + " | ".join(msgspec.json.encode(name).decode() for name in known)


def form(tool: FunctionTool) -> dict[str, object]:
    """Return the JSON schema that a tool's arguments are held to."""
    schema = plain(_parameters(tool))
    return schema if "properties" in schema else _object({})


def _object(properties: Json) -> dict[str, object]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def plain(schema: Json) -> dict[str, object]:
    """Return what of a JSON schema can be held to word by word: kinds, choices, bounds and what is inside.

    References are filled in; patterns and formats are let go; no string grows without end.
    """
    return _plain(schema, schema, _DEPTH)


def _plain(schema: Json, root: Json, depth: int) -> dict[str, object]:
    if depth == 0:
        return {}
    if isinstance(reference := schema.get("$ref"), str):
        return _plain(_follow(reference, root), root, depth - 1)
    kept = {key: schema[key] for key in _KEPT if key in schema}
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(options := schema.get(key), list) and options:
            inner = [_plain(_mapping(option), root, depth - 1) for option in options]
            return inner[0] if len(inner) == 1 else {"anyOf": inner}
    if isinstance(items := schema.get("items"), Mapping):
        kept["items"] = _plain(items, root, depth - 1)
    if isinstance(properties := schema.get("properties"), Mapping):
        required = schema.get("required")
        needed = [name for name in required if name in properties] if isinstance(required, list) else []
        inner_ones = {name: _plain(_mapping(what), root, depth - 1) for name, what in properties.items()}
        kept |= _object({name: _filled(what) if name in needed else what for name, what in inner_ones.items()})
        kept["required"] = needed
    if kept.get("type") == "string" and "enum" not in kept:
        kept["maxLength"] = _STRING_CHARS
    return kept


def _filled(schema: dict[str, object]) -> dict[str, object]:
    return {"minItems": 1, **schema} if schema.get("type") == "array" else schema


def _follow(reference: str, root: Json) -> Json:
    found: Json = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = _mapping(found.get(step))
    return found


def call(tool: FunctionTool, arguments: str) -> ToolCall | None:
    """Return the call of a tool with the arguments a model wrote; nothing if they are not what it takes."""
    try:
        filled = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return None
    return ToolCall(tool.name, msgspec.json.encode(filled).decode()) if valid(filled, form(tool)) else None


_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def valid(value: object, schema: Json) -> bool:
    """Say whether a value is what a schema made `plain` asks for."""
    if isinstance(options := schema.get("anyOf"), list):
        return any(valid(value, _mapping(option)) for option in options)
    if isinstance(allowed := schema.get("enum"), list) and value not in allowed:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    return _is_kind(value, schema.get("type")) and _within(value, schema) and _inside(value, schema)


def _is_kind(value: object, kind: object) -> bool:
    if isinstance(kind, list):
        return any(_is_kind(value, one) for one in kind)
    if isinstance(value, bool) and kind in ("integer", "number"):
        return False
    return not isinstance(kind, str) or isinstance(value, _KINDS.get(kind, (object,)))


def _within(value: object, schema: Json) -> bool:
    if isinstance(value, bool):
        return True
    size = value if isinstance(value, int | float) else len(value) if isinstance(value, list) else None
    low, high = ("minItems", "maxItems") if isinstance(value, list) else ("minimum", "maximum")
    least, most = schema.get(low), schema.get(high)
    return size is None or not (
        (isinstance(least, int | float) and size < least) or (isinstance(most, int | float) and size > most)
    )


def _inside(value: object, schema: Json) -> bool:
    if isinstance(value, list):
        return all(valid(one, _mapping(schema.get("items"))) for one in value)
    if isinstance(value, dict):
        properties, required = _mapping(schema.get("properties")), schema.get("required", [])
        if schema.get("additionalProperties") is False and set(value) - set(properties):
            return False
        good = all(valid(one, _mapping(properties.get(name))) for name, one in value.items())
        return good and all(name in value for name in cast("list[str]", required))
    return True
