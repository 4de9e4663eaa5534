"""Loads the settings: `vivavoce.toml`, the environment and the command line, over the defaults.

A later layer overrides an earlier one, value by value: defaults, preset, file, `.env`, environment, command
line. The origin of each value is recorded.
"""

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dotenv import dotenv_values
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from vivavoce.config.base import Table
from vivavoce.config.schema import BASE, PRESETS, SLOTS, Config
from vivavoce.config.telephone import avr_settings, avr_warnings
from vivavoce.errors import ConfigError, alternatives
from vivavoce.limits import Limits

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE = "vivavoce.toml"

PREFIX = "VIVAVOCE_"
_OTHER_VARIABLES = ("cache", "offline", "remote_key")
"""variables that are no settings"""

_SECRETS = {name for name, field in Config.model_fields.items() if field.annotation is SecretStr}
"""settings at the top that are only in the environment"""

QUOTED = r"'([^']*)'"
_NO_VALUE = "is a table, not a value"


@dataclass(frozen=True)
class Loaded:
    """The configuration, the origin of each value, and sentences about what looks like a mistake."""

    config: Config
    file: Path | None
    origins: Mapping[str, str]
    warnings: Sequence[str] = ()

    def origin(self, path: str) -> str:
        """Return the origin of the value at a path such as `chat.provider`; of a table, of its last value.

        Values in a list have the origin of the list.
        """
        below = (origin for known, origin in self.origins.items() if known.startswith(f"{path}."))
        above = (origin for known, origin in self.origins.items() if path.startswith(f"{known}."))
        return self.origins.get(path) or next(reversed([*below]), None) or next(above, "default")


class _Environment(Config, BaseSettings):
    """Defines the names of environment variables for pydantic-settings; it is never instantiated."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", enable_decoding=False)


def load(*, file: Path | None = None, flags: Table | None = None, dotenv: Path = Path(".env")) -> Loaded:
    """Load all layers. A `file` that is named must exist; else `vivavoce.toml` is loaded if it is there.

    `flags` are the command line's values, as tables. Variables in `.env` are added to the process's environment
    unless they are set there, so that providers find their keys. Raises `ConfigError`.
    """
    found = file or (Path(FILE) if Path(FILE).is_file() else None)
    from_dotenv = _read_dotenv(dotenv)
    higher = [("environment", _from_environment()), ("command line", flags or {})]
    if found:
        higher.insert(0, (str(found), _from_file(found)))
    if wants_avr := _wants_avr([table for _, table in higher]):
        higher.insert(len(higher) - 2, ("the environment of Agent Voice Response", avr_settings()))
    preset = _preset([table for _, table in higher])
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, table in [("default", BASE), (f"preset {preset}", PRESETS[preset]), *higher]:
        _merge(merged, table, origin, origins)
    _name_variables(origins, from_dotenv)
    try:
        config = Config(**merged)
    except ValidationError as error:
        raise ConfigError(_sentence(error, Loaded(Config(), found, origins))) from error
    warnings = [*_misspelt_variables(from_dotenv), *(avr_warnings() if wants_avr else ())]
    return Loaded(config, found, origins, warnings)


def _wants_avr(tables: Sequence[Table]) -> bool:
    """Return whether Agent Voice Response is to bring calls, so that its variables count."""
    named = [table["telephone"] for table in tables if isinstance(table.get("telephone"), Mapping)]
    wishes = [table["avr"] for table in named if isinstance(table, Mapping) and "avr" in table]
    return bool(wishes) and str(wishes[-1]).lower() in ("true", "1")


def _read_dotenv(path: Path) -> set[str]:
    """Add the variables of `.env` that are not set to the environment; return their names."""
    written = dotenv_values(path) if path.is_file() else {}
    new = {name: value for name, value in written.items() if value is not None and name not in os.environ}
    os.environ.update(new)
    return set(new)


def _from_environment() -> Table:
    tables = {f"VIVAVOCE_{name.upper()}__" for name in Config.model_fields}
    for name in os.environ:
        if name.startswith("VIVAVOCE_") and "__" in name and not name.startswith(tuple(tables)):
            table = name.removeprefix("VIVAVOCE_").partition("__")[0]
            raise ConfigError(f"{name} names no table; {alternatives(table, Config.model_fields)}.")
    return EnvSettingsSource(_Environment)()


def _misspelt_variables(from_dotenv: Collection[str]) -> Iterator[str]:
    """Yield a warning for each variable that sets nothing, and is like one that does.

    It is no error: a container platform sets VIVAVOCE_SERVER_PORT itself for a service of this name.
    """
    names = [f"{PREFIX}{name}".upper() for name in (*_settings(), *_OTHER_VARIABLES)]
    by_letters = {name.replace("__", "_"): name for name in names}
    for variable in sorted(os.environ):
        name = variable.upper()
        if not name.startswith(PREFIX) or name in names or "__" in name:
            continue
        table, _, setting = name.removeprefix(PREFIX).partition("_")
        if table.lower() in SLOTS and setting and not setting.endswith(("KEY", "TOKEN", "SECRET")):
            meant = f"{PREFIX}{table}__{setting}"  # the settings of a provider are its own
        elif len(ending := [known for known in names if known.endswith(f"__{table}")]) == 1 and not setting:
            meant = ending[0]
        else:
            similar = get_close_matches(name, by_letters, 1, 0.9)
            meant = by_letters[similar[0]] if similar else ""
        if meant:
            underscores = " (two underscores after the table)" if "__" in meant else ""
            place = ".env" if variable in from_dotenv else "the environment"
            yield f"{variable} in {place} sets nothing; did you mean {meant}{underscores}?"


def _settings() -> Iterator[str]:
    """Yield the names of all settings, as variables have them after the prefix."""
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if kind is Limits:
            yield from (f"{name}__{each.name}" for each in fields(Limits))
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (f"{name}__{setting}" for setting in kind.model_fields)
        else:
            yield name


def _from_file(path: Path) -> Table:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text in UTF-8, as TOML is.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    webrtc = table.get("webrtc")
    if isinstance(webrtc, Mapping) and "turn_credential" in webrtc:
        variable = "VIVAVOCE_WEBRTC__TURN_CREDENTIAL=…"
        raise ConfigError(f"{path}: [webrtc] turn_credential is a secret; write {variable} into .env.")
    for name in sorted(table.keys() & _SECRETS):
        variable = f"VIVAVOCE_{name.upper()}=…"
        raise ConfigError(f"{path}: {name} is secret; write {variable} into the environment or into .env.")
    return table


def _preset(tables: Sequence[Table]) -> str:
    """Return the preset that the topmost of these layers names."""
    name = next((table["preset"] for table in reversed(tables) if "preset" in table), "offline")
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}; {alternatives(name, PRESETS)}.")
    return name


def _merge(below: dict[str, Any], above: Table, origin: str, origins: dict[str, str], path: str = "") -> None:
    """Merge one layer over those below it. A table with another provider or type replaces the old one."""
    if any(key in above and key in below and above[key] != below[key] for key in ("provider", "type")):
        below.clear()
        for old in [known for known in origins if known.startswith(path)]:
            del origins[old]
    for key, value in above.items():
        if isinstance(value, Mapping):
            if not isinstance(below.setdefault(key, {}), dict):
                raise ConfigError(f"{origins[path + key]}: {path}{key} {_NO_VALUE}.")
            _merge(below[key], value, origin, origins, f"{path}{key}.")
        else:
            below[key] = value
            origins[f"{path}{key}"] = origin


def _name_variables(origins: dict[str, str], from_dotenv: Collection[str]) -> None:
    for path in [path for path, origin in origins.items() if origin == "environment"]:
        variable = "VIVAVOCE_" + path.replace(".", "__").upper()
        origins[path] = f"{variable} in {'.env' if variable in from_dotenv else 'the environment'}"


def _sentence(error: ValidationError, loaded: Loaded) -> str:
    """Return an error sentence: which value is invalid, its origin, and what it should be."""
    first = error.errors(include_url=False)[0]
    *tables, key = [part for part in first["loc"] if isinstance(part, str)] or [""]  # numbers count in lists
    message = _problem(first)
    if not key:
        return f"{message}."
    path = ".".join([*tables, key])
    origin = loaded.origin(path)
    place = f"[{'.'.join(tables)}] {key}" if tables else key
    if first["type"] == "extra_forbidden":
        return f"{origin}: {place} is not a setting; {alternatives(key, _known(tables))}."
    if first["type"] in ("model_type", "dataclass_type"):
        return f"{origin}: {place} {_NO_VALUE}."
    return f"{origin}: {place}{': ' if first['type'] == 'value_error' else ' '}{message}."


_PROBLEMS = {
    "int_parsing": "must be an integer, not {input}",
    "int_type": "must be an integer, not {input}",
    "int_from_float": "must be an integer, not {input}",
    "int_parsing_size": "must be a smaller integer than {input}",
    "float_parsing": "must be a number, not {input}",
    "float_type": "must be a number, not {input}",
    "finite_number": "must be a finite number, not {input}",
    "bool_parsing": "must be true or false, not {input}",
    "bool_type": "must be true or false, not {input}",
    "string_type": "must be a string in quotes, not {input}",
    "path_type": "must be a string in quotes, not {input}",
    "tuple_type": "must be a list, not {input}",
    "list_type": "must be a list, not {input}",
    "mapping_type": "must be a table, not {input}",
    "dict_type": "must be a table, not {input}",
    "missing": "is missing",
    "greater_than": "must be more than {gt:g}, not {input}",
    "greater_than_equal": "must be at least {ge:g}, not {input}",
    "less_than": "must be less than {lt:g}, not {input}",
    "less_than_equal": "must be at most {le:g}, not {input}",
    "too_short": "must have at least {min_length}, and has {actual_length}",
    "too_long": "must have at most {max_length}, and has {actual_length}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
}
"""pydantic's types of errors, in our words"""


def _problem(error: "ErrorDetails") -> str:
    """Return what is wrong with a value, in our words."""
    value, context = error["input"], error.get("ctx", {})
    if error["type"] == "literal_error":
        return f"cannot be {value!r}; {alternatives(value, re.findall(QUOTED, context['expected']))}"
    if words := _PROBLEMS.get(error["type"]):
        return words.format(input=_shown(value), **context)
    return error["msg"].removeprefix("Value error, ")


def _shown(value: object) -> str:
    if isinstance(value, list | tuple | dict):
        return "a table" if isinstance(value, dict) else "a list"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _known(tables: Sequence[str]) -> Collection[str]:
    model: type[BaseModel] = Config
    for table in tables:
        annotation = model.model_fields[table].annotation
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        model = next(kind for kind in kinds if issubclass(kind, BaseModel))
    return model.model_fields
