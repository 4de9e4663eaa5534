"""The registry of providers, which are found by role and name.

A package adds a provider with an entry point in the group `vivavoce.providers` whose name is role and name,
such as `chat.qwen`, and whose object is a `Plugin`. The providers of vivavoce are registered in the same way.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

import msgspec

from vivavoce.errors import ConfigError, alternatives, msgspec_problem

GROUP = "vivavoce.providers"
Role = Literal["vad", "turn", "transcriber", "chat", "synthesizer", "denoiser"]
ROLES: tuple[Role, ...] = ("vad", "turn", "transcriber", "chat", "synthesizer", "denoiser")

Weights = Callable[[str], Awaitable[Mapping[str, Path]]]
"""Returns the files of a model by its id in the manifest, such as `stt/moonshine-tiny-en`."""

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True)
class Plugin(Generic[S]):
    """The description of an installed provider: its role, its settings, its requirements, how to open it.

    `settings` is a `msgspec.Struct` with a default for every field: its own table in `vivavoce.toml`.
    `open` loads the model off the event loop, warms it up and returns the provider, once per process.
    `models` are the ids of the models in the manifest that it needs, `optional_models` of those that it can do
    without. `extra` is vivavoce's extra to install.
    `packages` are the packages that `open` imports: they are imported in advance, one after the other, because
    threads that import the same package at once may see it half initialized.
    `about` describes the provider with these settings in a phrase, for users.
    `languages` are the languages that it supports (ISO 639-1); None if they are not limited.
    `voices` are those that a session may choose; None if that is not known, or any name is one.
    `check` raises `ConfigError` for settings with which `open` would fail, as far as that can be seen at once.
    """

    role: Role
    name: str
    summary: str
    settings: type[S]
    open: Callable[[S, Weights], Awaitable[object]]
    models: Callable[[S], Sequence[str]] = lambda settings: ()
    optional_models: Callable[[S], Sequence[str]] = lambda settings: ()
    about: Callable[[S], str] = lambda settings: ""
    extra: str | None = None
    packages: Sequence[str] = ()
    languages: Sequence[str] | None = None
    voices: Callable[[S], Sequence[str] | None] = lambda settings: None
    check: Callable[[S], None] = lambda settings: None


def without_weights(make: Callable[[S], object]) -> Callable[[S, Weights], Awaitable[object]]:
    """Return a plugin's `open` for a provider that only needs its settings."""

    async def open_provider(settings: S, _: Weights) -> object:
        return make(settings)

    return open_provider


def names() -> Sequence[tuple[Role, str]]:
    """Return the role and name of every installed provider."""
    return [(role, name) for role in ROLES for name in sorted(_installed(role))]


def find(role: Role, name: str) -> Plugin[Any]:
    """Load and return the provider with this name. Raises `ConfigError` if there is none."""
    installed = _installed(role)
    if name not in installed:
        known = [*installed, *(["none"] if role in ("turn", "denoiser") else [])]
        raise ConfigError(f"[{role}] There is no {role} called {name!r}; {alternatives(name, known)}.")
    return cast("Plugin[Any]", installed[name].load())


@cache
def _installed(role: Role) -> Mapping[str, EntryPoint]:
    points = [(*point.name.partition("."), point) for point in entry_points(group=GROUP)]
    return {name: point for of_role, _, name, point in points if of_role == role}


def settings_for(plugin: Plugin[S], table: Mapping[str, object]) -> S:
    """Read a provider's table of the configuration. Raises `ConfigError` that names the invalid setting."""
    known = {field.encode_name for field in msgspec.structs.fields(plugin.settings)}
    if unknown := sorted(set(table) - known):
        problem = f"{unknown[0]} is not a setting of {plugin.name!r}; {alternatives(unknown[0], known)}"
        raise ConfigError(f"[{plugin.role}] {problem}.")
    try:
        settings = msgspec.convert(table, plugin.settings, strict=False)
    except msgspec.ValidationError as error:
        path, problem = msgspec_problem(error, table, plugin.settings)
        what = f"{path} of {plugin.name!r} {problem}" if path else f"of {plugin.name!r}: {problem}"
        raise ConfigError(f"[{plugin.role}] {what}.") from error
    for name in plugin.settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"[{plugin.role}] {name} of {plugin.name!r} is {value}, not a number.")
    return settings
