"""Validates client events field by field, against the types of the structs.

msgspec's decoder ignores unknown fields, and names invalid ones only inside an English message. Clients expect
an error with the protocol's code and the field's path. Therefore `validate` walks over the JSON values, guided
by the types.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import inspect

from vivavoce.errors import ProtocolError

DEPTH = 64
"""levels of nesting allowed in free-form values, such as a tool's JSON Schema"""
NAME_CHARS = 64
"""characters of a client's field name that an error repeats"""

_TYPE_NAMES: dict[type[inspect.Type], str] = {
    inspect.StructType: "an object",
    inspect.DictType: "an object",
    inspect.VarTupleType: "an array",
    inspect.StrType: "a string",
    inspect.IntType: "an integer",
    inspect.FloatType: "a number",
    inspect.BoolType: "a boolean",
    inspect.BytesType: "sound as base64",
    inspect.NoneType: "null",
}

CheckText = Callable[[str, str], None]
"""Called with each text and its path; raises `ProtocolError` if the text is too long."""


def missing(param: str) -> ProtocolError:
    """Return the error for a required field that is absent."""
    return ProtocolError(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def invalid(param: str, message: str) -> ProtocolError:
    """Return the error for an invalid type or value; `message` completes the sentence."""
    return ProtocolError(f"Invalid value for '{param}': {message}", code="invalid_value", param=param)


def unknown(param: str) -> ProtocolError:
    """Return the error for an unknown field."""
    return ProtocolError(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def text_limit(chars: int, *, but: str) -> CheckText:
    """Return a check that texts have at most this many characters, except where the path ends with `but`."""

    def short(text: str, param: str) -> None:
        if len(text) > chars and not param.endswith(but):
            raise invalid(param, f"{len(text)} characters; a text may have {chars} (limits.text_chars).")

    return short


def validate(value: object, kind: inspect.Type, path: str, check: CheckText) -> object:
    """Return `value` in a form that `msgspec.convert` accepts. Raises `ProtocolError` that names the field.

    A null that cannot switch anything off (`"id": null`) counts as absent; integral floats become integers.
    """
    match kind:
        case inspect.UnionType():
            return validate(value, _choose(value, kind, path), path, check)
        case inspect.StructType() if isinstance(value, Mapping):
            return _fields(value, kind, path, check)
        case inspect.VarTupleType() if isinstance(value, list):
            _check_length(len(value), "entries", kind, path)
            return [validate(one, kind.item_type, f"{path}[{i}]", check) for i, one in enumerate(value)]
        case inspect.DictType() if isinstance(value, Mapping):
            return {
                key: validate(one, kind.value_type, join_path(path, key), check) for key, one in value.items()
            }
        case inspect.CustomType():
            return _free_form(value, path, check)
        case inspect.LiteralType():
            return _literal(value, kind, path)
        case inspect.BytesType() if isinstance(value, str):
            return _base64(value, path)
        case inspect.StrType() if isinstance(value, str):
            check(value, path)
            _check_length(len(value), "characters", kind, path)
            return value
        case inspect.IntType() if _is_integer(value):
            return _in_range(int(value), kind, path)  # type: ignore[call-overload]
        case inspect.FloatType() if isinstance(value, int | float) and not isinstance(value, bool):
            return _in_range(_finite(value, path), kind, path)
        case inspect.BoolType() if isinstance(value, bool):
            return value
        case inspect.NoneType() if value is None:
            return None
    raise invalid(path, f"expected {_type_name(kind)}, got {_value_name(value)}.")


def _fields(value: Mapping[object, object], kind: inspect.StructType, path: str, check: CheckText) -> object:
    """Read an object field by field. Its tag is left unchanged: `kind` was chosen by it."""
    known = {field.encode_name: field for field in kind.fields}
    result: dict[object, object] = {}
    for name, one in value.items():
        if name == kind.tag_field:
            result[name] = one
        elif not isinstance(name, str) or name not in known:
            raise unknown(join_path(path, str(name)))
        elif one is not None or known[name].required or _accepts_null(known[name].type):
            result[name] = validate(one, known[name].type, join_path(path, name), check)
    for name, field in known.items():
        if field.required and name not in result:
            raise missing(join_path(path, name))
    return result


def _choose(value: object, union: inspect.UnionType, path: str) -> inspect.Type:
    """Return the one member of `union` that matches the type of `value`."""
    tagged = {one.tag: one for one in union.types if isinstance(one, inspect.StructType) and one.tag_field}
    if tagged and isinstance(value, Mapping):
        where = next(iter(tagged.values())).tag_field or ""
        if where not in value:
            raise missing(join_path(path, where))
        tag = value[where]
        if not isinstance(tag, str) or tag not in tagged:
            raise invalid(join_path(path, where), f"expected {_choices(tagged)}, got {_value_name(tag)}.")
        return tagged[tag]
    for one in union.types:
        if _matches(value, one):
            return one
    raise invalid(path, f"expected {_type_name(union)}, got {_value_name(value)}.")


def _matches(value: object, kind: inspect.Type) -> bool:
    """Return whether a value has the JSON type of `kind`."""
    match kind:
        case inspect.NoneType():
            return value is None
        case inspect.StructType() | inspect.DictType():
            return isinstance(value, Mapping)
        case inspect.VarTupleType():
            return isinstance(value, list)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return _is_integer(value)
        case inspect.LiteralType():
            return isinstance(value, str) and value in kind.values
    return isinstance(value, str)


def _literal(value: object, kind: inspect.LiteralType, path: str) -> object:
    if isinstance(value, str | int) and not isinstance(value, bool) and value in kind.values:
        return value
    raise invalid(path, f"expected {_choices(kind.values)}, got {_value_name(value)}.")


def _base64(value: str, path: str) -> str:
    try:
        msgspec.convert(value, bytes)
    except msgspec.ValidationError as error:
        raise invalid(path, "expected sound as base64 (standard alphabet, padded).") from error
    return value


def _check_length(length: int, unit: str, kind: inspect.StrType | inspect.VarTupleType, path: str) -> None:
    if kind.max_length is not None and length > kind.max_length:
        raise invalid(path, f"{length} {unit}; it may have {kind.max_length}.")
    if kind.min_length is not None and length < kind.min_length:
        raise invalid(path, f"{length} {unit}; it needs at least {kind.min_length}.")


def _in_range(value: float, kind: inspect.IntType | inspect.FloatType, path: str) -> float:
    least, most = kind.ge, kind.le
    if (least is not None and value < least) or (most is not None and value > most):
        expected = f"at least {least:g}" if most is None else f"{least:g} to {most:g}"
        raise invalid(path, f"expected {expected}, got {_value_name(value)}.")
    return value


def _finite(value: float, path: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise invalid(path, "the number is out of range.")
    return number


def _free_form(value: object, path: str, check: CheckText) -> object:
    """Return a free-form value after checking that it can be encoded: its depth and its strings are limited."""
    level = [value]
    for _ in range(DEPTH):
        for one in level:
            if isinstance(one, str):
                check(one, path)
        level = [deeper for one in level for deeper in _children(one)]
        if not level:
            return value
    raise invalid(path, f"nested deeper than {DEPTH} levels.")


def _children(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else []


def _accepts_null(kind: inspect.Type) -> bool:
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return any(isinstance(one, inspect.NoneType) for one in kinds)


def _is_integer(value: object) -> bool:
    """Return whether this is an integer that all JSON parsers represent exactly, even if written as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -(2**53) <= value <= 2**53:
        return False
    return isinstance(value, int) or value.is_integer()


def join_path(path: str, name: str) -> str:
    """Return the path of a field, with a long name of the client's cut off."""
    if len(name) > NAME_CHARS:
        name = f"{name[:NAME_CHARS]}…"
    return f"{path}.{name}" if path else name


def _type_name(kind: inspect.Type) -> str:
    match kind:
        case inspect.UnionType():
            return " or ".join(dict.fromkeys(map(_type_name, kind.types)))
        case inspect.LiteralType():
            return _choices(kind.values)
    return _TYPE_NAMES[type(kind)]


def _choices(values: Iterable[object]) -> str:
    return " or ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in values)


def _value_name(value: object) -> str:
    """Return a short value itself, or else its JSON type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 40 else "a long string"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) or abs(value) < 10**15 else "a huge number"
    return "an array" if isinstance(value, list) else "an object"
