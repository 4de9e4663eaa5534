"""A function's parameters: their JSON Schema for the model, and the decoding of the model's arguments."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from vivavoce.errors import ConfigError
from vivavoce.protocol.json_schema import Schema, check_schema, describe_schema, schema_fault
from vivavoce.tools.types import Context, ToolError, decode_arguments

_USABLE = "str, int, float, bool, date, time, Literal, Enum, a dataclass, lists and dicts of these, or `| None`"
_AMBIGUOUS = {datetime, timedelta}
"""Types that msgspec's lenient mode would read from any number, as seconds since 1970 or as a duration."""
_EXACT = msgspec.json.Decoder(float_hook=str)
_SHORT_TIME = re.compile(r"(?<![:\d])(\d\d:\d\d)$")
_REFERENCE = "#/$defs/"
_LOCAL_TIMES = {time: "time", datetime: "date-time"}
_HINTS = {"string": str, "integer": int, "number": int | float, "boolean": bool, "object": dict[str, Any]}


@dataclass(frozen=True)
class Parameter:
    """One parameter: its schema, and an exact and a lenient decoder for its values.

    `root` is the complete schema, if the parameters are defined by one; values are then validated against it.
    """

    name: str
    schema: Schema
    required: bool
    exact: msgspec.json.Decoder[object]
    lenient: msgspec.json.Decoder[object]
    root: Schema | None = None

    def read(self, written: bytes) -> object:
        """Decode the JSON of a value; return UNSET for a null that means none. Raises `ToolError`.

        A value that does not fit exactly is decoded leniently: "7" as a number where one is expected, 1042 as a
        string, "14:30" as a time, and null as no value if the parameter is optional.
        """
        try:
            return self._decoded(written, self.exact)
        except msgspec.ValidationError as error:
            if written == b"null" and not self.required:
                return msgspec.UNSET
            for version in (written, _numbers_as_texts(written, self.schema.get("format"))):
                with suppress(msgspec.ValidationError):
                    return self._decoded(version, self.lenient)
            fault = str(error).replace("`", "").replace(" - at $", " at ")
            raise ToolError(f"{self.name}: {fault}; needed is {describe_schema(self.schema)}.") from error

    def _decoded(self, written: bytes, decoder: msgspec.json.Decoder[object]) -> object:
        value = decoder.decode(written)
        if self.root is not None and (fault := schema_fault(value, self.schema, self.root)):
            raise msgspec.ValidationError(fault)
        return value


@dataclass(frozen=True)
class Parameters:
    """All parameters of one function."""

    each: Sequence[Parameter]

    @classmethod
    def of(cls, function: Callable[..., object], descriptions: Mapping[str, str], place: str) -> "Parameters":
        """Read a function's signature. Raises `ConfigError`, whose message begins with `place`."""
        hints = type_hints(function, place)
        parameters = inspect.signature(function).parameters.values()
        wanted = [one for one in parameters if hints.get(one.name) is not Context]
        return cls([_from_signature(one, hints, descriptions.get(one.name, ""), place) for one in wanted])

    @classmethod
    def from_schema(cls, schema: Schema, place: str) -> "Parameters":
        """Read the JSON Schema of an object. Raises `ConfigError`, whose message begins with `place`."""
        try:
            check_schema(schema)
        except ValueError as error:
            raise ConfigError(f"{place}: parameters is not JSON Schema: {error}") from error
        properties = cast("Mapping[str, object]", schema.get("properties", {}))
        required = cast("Sequence[str]", schema.get("required", ()))
        return cls([_from_schema(name, one, schema, name in required) for name, one in properties.items()])

    @property
    def names(self) -> Sequence[str]:
        """The names of all parameters."""
        return [one.name for one in self.each]

    @property
    def schema(self) -> dict[str, object]:
        """The schema of an object with all parameters."""
        return {
            "type": "object",
            "properties": {one.name: one.schema for one in self.each},
            "required": [one.name for one in self.each if one.required],
        }

    def read(self, arguments: str) -> dict[str, object]:
        """Decode the JSON arguments; return the values by name. Raises `ToolError` that lists all faults."""
        written = decode_arguments(arguments, dict[str, msgspec.Raw])
        there_are = ", ".join(self.names) or "none"
        faults = [
            f"{name}: there is no such argument; there are: {there_are}."
            for name in written
            if name not in self.names
        ]
        values = dict[str, object]()
        for one in self.each:
            if one.name in written:
                try:
                    values[one.name] = one.read(bytes(written[one.name]))
                except ToolError as fault:
                    faults.append(str(fault))
            elif one.required:
                faults.append(f"{one.name}: is missing; needed is {describe_schema(one.schema)}.")
        if faults:
            raise ToolError(" ".join(["The arguments do not fit.", *faults]))
        return {name: value for name, value in values.items() if value is not msgspec.UNSET}


# from a function


def type_hints(function: Callable[..., object], place: str) -> Mapping[str, Any]:
    """Return the types of a function's parameters. Raises `ConfigError`."""
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise ConfigError(f"{place}: its types are not known where it is defined: {error}") from error


def context_parameter(hints: Mapping[str, object]) -> str | None:
    """Return the name of the parameter of type `Context`, if there is one."""
    return next((name for name, hint in hints.items() if hint is Context and name != "return"), None)


def _from_signature(
    parameter: inspect.Parameter, hints: Mapping[str, object], description: str, place: str
) -> Parameter:
    name = parameter.name
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ConfigError(f"{place}: the parameter {parameter} has no name of its own; write one: {name}: str")
    if name not in hints:
        bound = "make the tool of the bound method: tool(thing.method)"
        advice = bound if name == "self" else f"write {name}: str"
        raise ConfigError(f"{place}: the parameter {name} has no type; {advice}")
    hint = hints[name]
    try:
        schema = _schema_of(hint)
    except TypeError as error:
        why = "" if "custom types" in str(error) else f" ({str(error).partition(' - ')[0]})"
        problem = f"the parameter {name} has a type that a model cannot write, {hint}{why}"
        raise ConfigError(f"{place}: {problem}; use {_USABLE}") from error
    return Parameter(
        name,
        _described(schema, description, parameter.default),
        required=parameter.default is parameter.empty,
        exact=msgspec.json.Decoder(hint),
        lenient=msgspec.json.Decoder(hint, strict=bool(_AMBIGUOUS.intersection(_alternatives(hint)))),
    )


def _schema_of(hint: object) -> dict[str, object]:
    """Return the schema of a type. Raises `TypeError` if it has none, or is recursive."""
    (schema,), definitions = msgspec.json.schema_components([_with_formats(hint)])
    msgspec.json.Decoder(hint)  # raises for further unions whose members JSON cannot distinguish
    inlined = _inline(schema, definitions, ())
    if not isinstance(inlined, dict):
        raise TypeError("it is no object")
    return inlined


def _with_formats(hint: Any) -> Any:  # noqa: ANN401 (it is a type)
    """Return a type with `format` for times: msgspec's schema has none for times that may lack a zone."""
    if hint in _LOCAL_TIMES:
        return Annotated[hint, msgspec.Meta(extra_json_schema={"format": _LOCAL_TIMES[hint]})]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return Annotated[(_with_formats(inner[0]), *inner[1:])]
    if origin in (Union, UnionType):
        return Union[tuple(_with_formats(one) for one in inner)]  # noqa: UP007 (of a tuple)
    if origin in (list, set, tuple, dict):
        return origin[tuple(_with_formats(one) for one in inner)]
    return hint


def _inline(node: object, definitions: Mapping[str, dict[str, object]], within: tuple[str, ...]) -> object:
    """Return a schema with references replaced by definitions: small models do not resolve references."""
    match node:
        case {"$ref": str(reference), **siblings}:
            name = reference.removeprefix(_REFERENCE)
            if name in within:
                raise TypeError(f"{name} contains itself")
            whole = {**definitions[name], **cast("Schema", siblings)}
            whole.pop("title", None)
            return _inline(whole, definitions, (*within, name))
        case {"discriminator": {"mapping": _}, **fields} | {**fields}:  # a discriminator is made of references
            return {key: _inline(value, definitions, within) for key, value in fields.items()}
        case list():
            return [_inline(value, definitions, within) for value in node]
        case _:
            return node


def _alternatives(hint: object) -> Iterator[object]:
    if get_origin(hint) is Annotated:
        yield from _alternatives(get_args(hint)[0])
    elif get_origin(hint) in (Union, UnionType):
        for one in get_args(hint):
            yield from _alternatives(one)
    else:
        yield hint


def _described(schema: Schema, description: str, default: object) -> Schema:
    """Return the schema with description and default; without null where None is the default."""
    if default is None:
        schema = _without_null(schema)
    if description:
        schema = {**schema, "description": schema.get("description", description)}
    if default is not None and default is not inspect.Parameter.empty:
        with suppress(TypeError):
            schema = {**schema, "default": msgspec.to_builtins(default)}
    return schema


def _without_null(schema: Schema) -> Schema:
    match schema:
        case {"anyOf": [*options], **others}:
            left = [cast("Schema", option) for option in options if option != {"type": "null"}]
            return {**others, **left[0]} if len(left) == 1 else {**others, "anyOf": left}
        case {"enum": [*values], **others}:
            return {**others, "enum": [value for value in values if value is not None]}
        case _:
            return schema


# from a JSON Schema; lenient values


def _from_schema(name: str, schema: object, root: Schema, required: bool) -> Parameter:
    part = schema if isinstance(schema, Mapping) else {}  # true and false are schemas, too
    hint = _hint_of(part)
    lenient = msgspec.json.Decoder(hint, strict=False)
    return Parameter(name, part, required, msgspec.json.Decoder(hint), lenient, root)


def _hint_of(schema: Schema) -> Any:  # noqa: ANN401 (it is a type)
    """Return the type as which a value is decoded, before it is validated against the schema."""
    match schema:
        case {"type": "array", "items": {**items}}:
            return list[_hint_of(cast("Schema", items))]  # type: ignore[misc]  # a type made of a value
        case {"type": "array"}:
            return list[Any]
        case {"type": str(name)}:
            return _HINTS.get(name, Any)
        case _:
            return Any


def _numbers_as_texts(written: bytes, format: object) -> bytes:
    """Return a JSON value with its numbers as strings, digit by digit, and with seconds added to a time."""
    value = _EXACT.decode(written)
    if format in ("time", "date-time") and isinstance(value, str):
        value = _SHORT_TIME.sub(r"\1:00", value)
    return msgspec.json.encode(_as_texts(value))


def _as_texts(value: object) -> object:
    match value:
        case bool():
            return value
        case int():
            return str(value)
        case list():
            return [_as_texts(one) for one in value]
        case dict():
            return {name: _as_texts(one) for name, one in value.items()}
        case _:
            return value
