"""Loads the settings: `vivavoce.toml`, the environment and the command line, over the defaults.

A later layer overrides an earlier one, value by value: defaults, preset, file, `.env`, environment, command
line. The origin of each value is recorded.
"""

import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from vivavoce.config.base import Table
from vivavoce.config.schema import BASE, PRESETS, Config
from vivavoce.errors import ConfigError

FILE = "vivavoce.toml"

_NO_VALUE = "is a table, not a value"


@dataclass(frozen=True)
class Loaded:
    """The configuration, and the origin of each value."""

    config: Config
    file: Path | None
    origins: Mapping[str, str]

    def origin(self, path: str) -> str:
        """Return the origin of the value at a path such as `chat.provider`; of a table, of its first value.

        Values in a list have the origin of the list.
        """
        below = (origin for known, origin in self.origins.items() if known.startswith(f"{path}."))
        above = (origin for known, origin in self.origins.items() if path.startswith(f"{known}."))
        return self.origins.get(path) or next(below, None) or next(above, "default")


class _Environment(Config, BaseSettings):
    """Defines the names of environment variables for pydantic-settings; it is never instantiated."""

    model_config = SettingsConfigDict(env_prefix="VIVAVOCE_", env_nested_delimiter="__", enable_decoding=False)


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
    preset = _preset([table for _, table in higher])
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, table in [("default", BASE), (f"preset {preset}", PRESETS[preset]), *higher]:
        _merge(merged, table, origin, origins)
    _name_variables(origins, from_dotenv)
    try:
        return Loaded(Config(**merged), found, origins)
    except ValidationError as error:
        raise ConfigError(_sentence(error, Loaded(Config(), found, origins))) from error


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
            raise ConfigError(f"{name} names no table; there are: {', '.join(Config.model_fields)}.")
    return EnvSettingsSource(_Environment)()


def _from_file(path: Path) -> Table:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    webrtc = table.get("webrtc")
    if isinstance(webrtc, Mapping) and "turn_credential" in webrtc:
        variable = "VIVAVOCE_WEBRTC__TURN_CREDENTIAL=…"
        raise ConfigError(f"{path}: [webrtc] turn_credential is a secret; write {variable} into .env.")
    for name in table.keys() & {"keys", "webhook_secret"}:
        variable = f"VIVAVOCE_{name.upper()}=…"
        raise ConfigError(f"{path}: {name} is secret; write {variable} into the environment or into .env.")
    return table


def _preset(tables: Sequence[Table]) -> str:
    """Return the preset that the topmost of these layers names."""
    name = next((table["preset"] for table in reversed(tables) if "preset" in table), "offline")
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}; there are: {', '.join(PRESETS)}.")
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
    message = first["msg"].removeprefix("Value error, ")
    if not key:
        return f"{message}."
    path = ".".join([*tables, key])
    origin = loaded.origin(path)
    place = f"[{'.'.join(tables)}] {key}" if tables else key
    if first["type"] == "extra_forbidden":
        known = sorted(_known(tables))
        return f"{origin}: {place} is not a setting; there are: {', '.join(known)}."
    if first["type"] in ("model_type", "dataclass_type"):
        return f"{origin}: {place} {_NO_VALUE}."
    return f"{origin}: {place}: {message}."


def _known(tables: Sequence[str]) -> Collection[str]:
    model: type[BaseModel] = Config
    for table in tables:
        annotation = model.model_fields[table].annotation
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        model = next(kind for kind in kinds if issubclass(kind, BaseModel))
    return model.model_fields
