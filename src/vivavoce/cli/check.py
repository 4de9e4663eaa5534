"""`viva check`: what is configured, from where, what is missing, and the line to write."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.assistants import Who, assistant_at
from vivavoce.cli.options import Chat, File, Preset, configuration

if TYPE_CHECKING:
    from vivavoce.assistants.team import Team
    from vivavoce.config.loading import Loaded
    from vivavoce.runtime import ProviderChoice
    from vivavoce.weights.store import Store
__all__ = ["check"]


@dataclass(frozen=True)
class Missing:
    """Something that is needed and not here, and the line that brings it."""

    what: str
    write: str


@dataclass(frozen=True)
class Duty:
    """One job: who does it, who said so, and what is missing for it."""

    role: str
    provider: str
    source: str
    about: str
    settings: dict[str, str]
    missing: list[Missing] = field(default_factory=list)


@dataclass(frozen=True)
class Far:
    """The upstream server, and what is missing to reach it."""

    about: str
    settings: dict[str, str]
    missing: list[Missing]


@dataclass(frozen=True)
class Person:
    """An assistant, and what it can do."""

    name: str
    greeting: str
    voice: str | None
    language: str | None
    tools: dict[str, str]


def check(
    assistant: Who = None,
    config: File = None,
    preset: Preset = None,
    chat: Chat = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say what is configured, from where, and what is missing.

    Exit code 1 if something is missing.
    """
    import json

    from vivavoce.assistants.team import Team
    from vivavoce.runtime import choose_providers, describe, language_warnings
    from vivavoce.tools.registry import lacks
    from vivavoce.weights.store import user_store

    loaded = configuration(file=config, preset=preset, chat=chat)
    who = assistant_at(assistant)
    staff = Team(who) if who else None
    choices, store = choose_providers(loaded.config, who), user_store()
    people, notes = _people(staff), language_warnings(choices, loaded.config, staff)
    duties = [_duty(loaded, choice, store) for choice in choices.values()]
    far = _far(loaded)
    missing = [*far.missing, *(each for duty in duties for each in duty.missing)]
    missing += [Missing(what, write) for what, write in lacks(loaded.config.tools)]
    if as_json:
        facts = {
            "file": str(loaded.file) if loaded.file else None,
            "preset": loaded.config.preset,
            "server": _server(loaded),
            "engine": f"{loaded.config.engine} ({loaded.origin('engine')})",
            "remote": asdict(far) if loaded.config.engine == "remote" else None,
            "duties": [asdict(duty) for duty in duties],
            "tools": _shared(loaded),
            "assistants": [asdict(person) for person in people],
            "description": describe(loaded.config, choices, who),
            "notes": notes,
            "complete": not missing,
        }
        typer.echo(json.dumps(facts, indent=2))
    else:
        for line in _lines(loaded, far, duties):
            typer.echo(line)
        for line in _told(people, _shared(loaded)):
            typer.echo(line)
        typer.echo("\n".join(["", describe(loaded.config, choices, who), *notes]))
        typer.echo(_verdict(missing))
    raise typer.Exit(1 if missing else 0)


def _duty(loaded: "Loaded", choice: "ProviderChoice", store: "Store") -> Duty:
    said = loaded.config.slot(choice.role).settings
    return Duty(
        role=choice.role,
        provider=choice.plugin.name,
        source=loaded.origin(f"{choice.role}.provider"),
        about=choice.about,
        settings={key: _setting(loaded, f"{choice.role}.{key}", value) for key, value in said.items()},
        missing=list(_missing(choice, store)),
    )


def _setting(loaded: "Loaded", path: str, value: object) -> str:
    """Tell a value and who said so; of a table, which may hold secrets, only the names."""
    shown = ", ".join(sorted(value)) if isinstance(value, dict) else value
    return f"{shown} ({loaded.origin(path)})"


def _missing(choice: "ProviderChoice", store: "Store") -> Iterator[Missing]:
    from vivavoce.runtime import missing_packages

    if packages := missing_packages(choice.plugin.extra):
        yield Missing(f"packages {', '.join(packages)}", f"pip install 'vivavoce[{choice.plugin.extra}]'")
    key_env = getattr(choice.settings, "key_env", "")
    if key_env and not os.environ.get(key_env):
        yield Missing(f"key {key_env}", f"{key_env}=… in the environment or in .env")
    for name in choice.models:
        if store.present(name) is None:
            yield Missing(f"weights {name}", f"viva models pull {name}")


def _far(loaded: "Loaded") -> Far:
    table = loaded.config.remote
    settings = {
        name: f"{getattr(table, name)} ({loaded.origin(f'remote.{name}')})"
        for name in type(table).model_fields
        if getattr(table, name) != ""
    }
    return Far(table.about, settings, list(_missing_far_away(loaded)))


def _missing_far_away(loaded: "Loaded") -> Iterator[Missing]:
    table = loaded.config.remote
    if loaded.config.engine == "cascade":
        return
    where = "in the environment or in .env"
    entra = table.server == "azure" and os.environ.get("AZURE_OPENAI_AD_TOKEN")
    if table.needs_key and not os.environ.get(table.key_variable) and not entra:
        yield Missing(f"key {table.key_variable}", f"{table.key_variable}=… {where}")
    if table.server == "azure" and not (table.endpoint or os.environ.get("AZURE_OPENAI_ENDPOINT")):
        yield Missing("endpoint", f"AZURE_OPENAI_ENDPOINT=https://….openai.azure.com {where}")


def _far_lines(far: Far) -> Iterator[str]:
    yield f"\n{'remote':12} {far.about}"
    for key, value in far.settings.items():
        yield f"{'':12} {key} = {value}"
    for each in far.missing:
        yield f"{'':12} MISSING {each.what}; write: {each.write}"


def _server(loaded: "Loaded") -> dict[str, str]:
    server, keys = loaded.config.server, len(loaded.config.secrets)
    return {
        "host": f"{server.host} ({loaded.origin('server.host')})",
        "port": f"{server.port} ({loaded.origin('server.port')})",
        "data": f"{server.data} ({loaded.origin('server.data')})",
        "keys": f"{keys} ({loaded.origin('keys')})" if keys else "none needed on this machine",
    }


def _lines(loaded: "Loaded", far: Far, duties: list[Duty]) -> Iterator[str]:
    yield f"file         {loaded.file or 'none; the defaults hold'}"
    yield f"preset       {loaded.config.preset} ({loaded.origin('preset')})"
    for key, value in _server(loaded).items():
        yield f"{key:12} {value}"
    yield f"{'engine':12} {loaded.config.engine} ({loaded.origin('engine')})"
    if loaded.config.engine == "remote":
        yield from _far_lines(far)
    for duty in duties:
        yield f"\n{duty.role:12} {duty.provider} ({duty.source})"
        yield f"{'':12} {duty.about}"
        for key, value in duty.settings.items():
            yield f"{'':12} {key} = {value}"
        for each in duty.missing:
            yield f"{'':12} MISSING {each.what}; write: {each.write}"
    if duties and all(duty.role != "denoiser" for duty in duties):
        source = loaded.origin("denoiser.provider")
        yield f"\n{'denoiser':12} none ({source}); noise_reduction is accepted, and nothing is done"
        if loaded.config.denoiser.provider == "auto":
            yield f"{'':12} if you want it done, write: pip install 'vivavoce[denoise]'"


def _people(staff: "Team | None") -> list[Person]:
    if staff is None:
        return []
    return [
        Person(
            name=one.name,
            greeting=one.greeting,
            voice=one.voice,
            language=one.language,
            tools={tool.name: tool.description.partition("\n")[0] for tool in staff.tools_of(one)},
        )
        for one in staff.known.values()
    ]


def _shared(loaded: "Loaded") -> dict[str, str]:
    """Return what everyone can do: the owner's endpoints, and servers of tools."""
    tools = loaded.config.tools
    servers = {one.label: f"MCP server, {one.url or ' '.join(one.command)}" for one in tools.mcp}
    return {**{one.name: one.description for one in tools.http}, **servers}


def _told(people: list[Person], shared: dict[str, str]) -> Iterator[str]:
    if shared:
        yield ""
    for number, (name, description) in enumerate(shared.items()):
        yield f"{'' if number else 'tools':12} {name}: {description}"
    for person in people:
        yield f"\n{'assistant':12} {person.name}"
        for key in ("greeting", "voice", "language"):
            if value := getattr(person, key):
                yield f"{'':12} {key} = {value}"
        for name, description in person.tools.items():
            yield f"{'':12} {name}: {description}"


def _verdict(missing: list[Missing]) -> str:
    if not missing:
        return "Nothing is missing."
    lines = dict.fromkeys(each.write for each in missing)
    return "\n".join(["Something is missing. Write:", *(f"  {line}" for line in lines)])
