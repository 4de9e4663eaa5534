"""Finds providers by name. Our own are entry points too, as those of other packages.

A package offers a provider with an entry point in the group `vivavoce.providers`, named by role and name such
as `chat.qwen`, that leads to a `Plugin`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

import msgspec

from vivavoce.errors import ConfigError

GROUP = "vivavoce.providers"
Role = Literal["vad", "turn", "transcriber", "chat", "synthesizer", "denoiser"]
ROLES: tuple[Role, ...] = ("vad", "turn", "transcriber", "chat", "synthesizer", "denoiser")

Weights = Callable[[str], Awaitable[Mapping[str, Path]]]
"""Gives the files of a model by its id in the manifest, such as `stt/moonshine-tiny-en`."""

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True)
class Plugin(Generic[S]):
    """An installed provider: its role, what can be set, what it needs, and how to open it.

    `settings` is a `msgspec.Struct` with a default for every field: its own table in `vivavoce.toml`.
    `open` loads the model off the event loop, warms it and returns the provider, once per process.
    `models` are ids of models in the manifest that it needs. `extra` is the extra of vivavoce to install.
    `packages` are what `open` imports: they are imported beforehand, one by one, because threads that race for
    a module get half of it.
    `about` describes the provider with these settings in a phrase, for people.
    `languages` are those that it supports (ISO 639-1), where they are limited.
    """

    role: Role
    name: str
    summary: str
    settings: type[S]
    open: Callable[[S, Weights], Awaitable[object]]
    models: Callable[[S], Sequence[str]] = lambda settings: ()
    about: Callable[[S], str] = lambda settings: ""
    extra: str | None = None
    packages: Sequence[str] = ()
    languages: Sequence[str] | None = None


def without_weights(make: Callable[[S], object]) -> Callable[[S, Weights], Awaitable[object]]:
    """Return a plugin's `open` for a provider that is made of its settings alone."""

    async def open_provider(settings: S, _: Weights) -> object:
        return make(settings)

    return open_provider


def names() -> Sequence[tuple[Role, str]]:
    """Return role and name of every provider that is installed."""
    return [(role, name) for role in ROLES for name in sorted(_installed(role))]


def find(role: Role, name: str) -> Plugin[Any]:
    """Return the provider of that name; only this one is loaded. Raises `ConfigError` if there is none."""
    installed = _installed(role)
    if name not in installed:
        known = ", ".join(sorted(installed)) or "none"
        raise ConfigError(f"There is no {role} called {name!r}; installed are: {known}.")
    return cast("Plugin[Any]", installed[name].load())


@cache
def _installed(role: Role) -> Mapping[str, EntryPoint]:
    points = [(*point.name.partition("."), point) for point in entry_points(group=GROUP)]
    return {name: point for of_role, _, name, point in points if of_role == role}


def settings_for(plugin: Plugin[S], table: Mapping[str, object]) -> S:
    """Read a provider's table of the configuration. Raises `ConfigError`, which names what is wrong in it."""
    known = {field.encode_name for field in msgspec.structs.fields(plugin.settings)}
    if unknown := sorted(set(table) - known):
        allowed = ", ".join(sorted(known)) or "nothing"
        raise ConfigError(
            f"[{plugin.role}] {unknown[0]} is not a setting of {plugin.name!r}; it knows: {allowed}."
        )
    try:
        return msgspec.convert(table, plugin.settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"[{plugin.role}] of {plugin.name!r}: {error}") from error
