"""What a function takes: told to the model as JSON Schema, and read from what the model writes."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from vivavoce.errors import ConfigError
from vivavoce.tools.schemas import Schema, fitting, hint_of, schema_of
from vivavoce.tools.types import Context, ToolError

__all__ = ["Parameters", "context_of", "hints_of"]

_USABLE = "str, int, float, bool, date, time, Literal, Enum, a dataclass, lists and dicts of these, or `| None`"
_AMBIGUOUS = {datetime, timedelta}
"""What msgspec would read from any number, as seconds: nobody who says 10 means 1970."""
_EXACT = msgspec.json.Decoder(float_hook=str)
_SHORT_TIME = re.compile(r"(?<![:\d])(\d\d:\d\d)$")


@dataclass(frozen=True)
class Parameter:
    """One of a function's: how the model is told of it, and how its value is read."""

    name: str
    schema: Schema
    required: bool
    plain: msgspec.json.Decoder[object]
    kind: msgspec.json.Decoder[object]

    def read(self, written: bytes) -> object:
        """Return the value that the model means, or UNSET if it means none. Raises `ToolError`.

        What fits as it is written is taken so. Else kindly: "7" is a number where one is needed, 1042 a text
        where that is, 14:30 a time, and null the same as nothing where nothing is needed.
        """
        try:
            return self.plain.decode(written)
        except msgspec.ValidationError as error:
            if written == b"null" and not self.required:
                return msgspec.UNSET
            for version in (written, _as_texts(written, self.schema.get("format"))):
                try:
                    return self.kind.decode(version)
                except msgspec.ValidationError:
                    continue
            raise ToolError(f"{self.name}: {_plainly(error)}; needed is {fitting(self.schema)}.") from error


class Parameters:
    """All that one function takes from the model."""

    def __init__(self, each: Sequence[Parameter]) -> None:
        self._each = {one.name: one for one in each}

    @classmethod
    def of(cls, function: Callable[..., object], about: Mapping[str, str], place: str) -> "Parameters":
        """Read a function's signature; `about` describes its parameters. Raises `ConfigError`, at `place`."""
        hints = hints_of(function, place)
        all_of_them = inspect.signature(function).parameters.values()
        wanted = [one for one in all_of_them if hints.get(one.name) is not Context]
        return cls([_parameter(one, hints, about.get(one.name, ""), place) for one in wanted])

    @classmethod
    def from_schema(cls, schema: Schema, place: str) -> "Parameters":
        """Take what somebody has written as JSON Schema. Raises `ConfigError`, which says where."""
        properties = cast("Mapping[str, Schema]", schema.get("properties", {}))
        required = cast("Sequence[str]", schema.get("required", ()))
        try:
            return cls([_written(name, one, name in required) for name, one in properties.items()])
        except (TypeError, ValueError, re.error) as error:
            raise ConfigError(f"{place}: parameters is not JSON Schema: {error}") from error

    @property
    def names(self) -> Sequence[str]:
        """What they are called."""
        return list(self._each)

    @property
    def schema(self) -> Schema:
        """All of them as one object."""
        return {
            "type": "object",
            "properties": {one.name: one.schema for one in self._each.values()},
            "required": [one.name for one in self._each.values() if one.required],
        }

    def read(self, arguments: str) -> dict[str, object]:
        """Return the values by name, without those left out. Raises `ToolError`, which names all faults."""
        given, values, faults = _object(arguments), dict[str, object](), list[str]()
        for name in [name for name in given if name not in self._each]:
            faults.append(f"{name}: there is no such argument; there are: {', '.join(self._each) or 'none'}.")
        for name, one in self._each.items():
            if name in given:
                try:
                    values[name] = one.read(bytes(given[name]))
                except ToolError as fault:
                    faults.append(str(fault))
            elif one.required:
                faults.append(f"{name}: is missing; needed is {fitting(one.schema)}.")
        if faults:
            raise ToolError(" ".join(["The arguments do not fit.", *faults]))
        return {name: value for name, value in values.items() if value is not msgspec.UNSET}


def hints_of(function: Callable[..., object], place: str) -> Mapping[str, Any]:
    """Return the types of a function's parameters. Raises `ConfigError`."""
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise ConfigError(f"{place}: its types are not known where it is defined: {error}") from error


def context_of(hints: Mapping[str, object]) -> str | None:
    """Return the name of the parameter that is given the `Context`, if there is one."""
    return next((name for name, hint in hints.items() if hint is Context and name != "return"), None)


def _parameter(
    parameter: inspect.Parameter, hints: Mapping[str, object], description: str, place: str
) -> Parameter:
    """Return one of a function's parameters as a model may give it. Raises `ConfigError`."""
    name = parameter.name
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ConfigError(
            f"{place}: the parameter {parameter} has no name to give it by; write one: {name}: str"
        )
    if name not in hints:
        advice = (
            "make the tool of the bound method: tool(thing.method)" if name == "self" else f"write {name}: str"
        )
        raise ConfigError(f"{place}: the parameter {name} has no type; {advice}")
    hint = hints[name]
    return Parameter(
        name,
        _told(_schema(name, hint, place), description, parameter.default),
        required=parameter.default is parameter.empty,
        plain=msgspec.json.Decoder(hint),
        kind=msgspec.json.Decoder(hint, strict=bool(_AMBIGUOUS.intersection(_alternatives(hint)))),
    )


def _written(name: str, schema: Schema, required: bool) -> Parameter:
    if not isinstance(schema, Mapping):
        raise TypeError(f"{name} is no table")
    hint = hint_of(schema)
    kind = msgspec.json.Decoder(hint, strict=False)
    return Parameter(name, schema, required, msgspec.json.Decoder(hint), kind)


def _schema(name: str, hint: object, place: str) -> Schema:
    try:
        return schema_of(hint)
    except TypeError as error:
        why = "" if "custom types" in str(error) else f" ({str(error).partition(' - ')[0]})"
        problem = f"the parameter {name} has a type that a model cannot write, {hint}{why}"
        raise ConfigError(f"{place}: {problem}; use {_USABLE}") from error


def _alternatives(hint: object) -> Iterator[object]:
    """Return the types that a hint leaves a choice of."""
    if get_origin(hint) is Annotated:
        yield from _alternatives(get_args(hint)[0])
    elif get_origin(hint) in (Union, UnionType):
        for one in get_args(hint):
            yield from _alternatives(one)
    else:
        yield hint


def _told(schema: Schema, description: str, default: object) -> Schema:
    """Return what the model is told. Of null it is not: what is None if it is left out, it may leave out."""
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
        case {"anyOf": [*kinds], **beside}:
            left = [cast("Schema", kind) for kind in kinds if kind != {"type": "null"}]
            return {**beside, **left[0]} if len(left) == 1 else {**beside, "anyOf": left}
        case {"enum": [*values], **beside}:
            return {**beside, "enum": [value for value in values if value is not None]}
        case _:
            return schema


def _object(arguments: str) -> Mapping[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(arguments or "{}", type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise ToolError(f"The arguments are no JSON object: {error}.") from error


def _as_texts(written: bytes, format: object) -> bytes:
    """Return a value with its numbers written as texts, exactly as they are; and a time with its seconds."""
    value = _EXACT.decode(written)
    if format in ("time", "date-time") and isinstance(value, str):
        value = _SHORT_TIME.sub(r"\1:00", value)
    return msgspec.json.encode(_texts(value))


def _texts(value: object) -> object:
    match value:
        case bool():
            return value
        case int():
            return str(value)
        case list():
            return [_texts(one) for one in value]
        case dict():
            return {name: _texts(one) for name, one in value.items()}
        case _:
            return value


def _plainly(error: msgspec.ValidationError) -> str:
    return str(error).replace("`", "").replace(" - at $", " at ")
