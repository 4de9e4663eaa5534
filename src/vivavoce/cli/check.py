"""`viva check`: shows the configuration and its origins, what is missing, and what to write."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.assistants import AssistantPlace, load_assistant
from vivavoce.cli.common import Chat, File, Preset, configuration, server_for
from vivavoce.errors import ConfigError, ProviderError

if TYPE_CHECKING:
    from vivavoce.assistants.team import Team
    from vivavoce.config.loading import Loaded
    from vivavoce.config.schema import Config
    from vivavoce.providers.registry import Role
    from vivavoce.runtime import ProviderChoice
    from vivavoce.weights.store import Store

CONNECT_SECONDS = 5
WHERE = "in the environment or in .env"


@dataclass(frozen=True)
class Missing:
    """A missing requirement, and the command or setting that provides it."""

    what: str
    write: str


@dataclass(frozen=True)
class ConfiguredPart:
    """A provider or remote server: its name, its origin, its settings, and what it lacks."""

    role: str
    provider: str
    source: str
    about: str
    settings: Mapping[str, str]
    missing: list[Missing]

    def lines(self) -> Iterator[str]:
        """Yield it as lines of text."""
        yield f"\n{self.role:12} {self.provider} ({self.source})"
        yield f"{'':12} {self.about}"
        for key, value in self.settings.items():
            yield f"{'':12} {key} = {value}"
        for each in self.missing:
            yield f"{'':12} MISSING {each.what}; write: {each.write}"


def check(
    assistant: AssistantPlace = None,
    config: File = None,
    preset: Preset = None,
    chat: Chat = None,
    connect: Annotated[
        bool, typer.Option("--connect", help="Also see whether the endpoints can be reached.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Print what is configured, from where, what is missing, and what will not work.

    Exit code 1 if something is missing.
    """
    import json

    from vivavoce.assistants.team import Team
    from vivavoce.runtime import choose_providers, describe, language_warnings
    from vivavoce.tools.registry import missing_for_tools
    from vivavoce.weights.store import user_store

    warnings: list[str] = []
    loaded = configuration(file=config, preset=preset, chat=chat, warn=warnings.append)
    who = load_assistant(assistant)
    team = Team(who) if who else None
    choices, store = choose_providers(loaded.config, who), user_store()
    remote = [_remote(loaded)] if loaded.config.engine == "remote" else []
    providers = [_provider(loaded, choice, store) for choice in choices.values()]
    missing = [each for part in (*remote, *providers) for each in part.missing]
    missing += [Missing(what, write) for what, write in missing_for_tools(loaded.config.tools)]
    warnings += language_warnings(choices, loaded.config, team)
    warnings += (
        *_port_warnings(loaded.config),
        *_folder_warnings(loaded.config, store, missing),
        *_talk_warnings(),
    )
    if connect:
        warnings += _connection_warnings(loaded.config, choices)
    shared, assistants = _shared_tools(loaded), _assistants(team)
    description = describe(loaded.config, choices, who)
    facts = {
        "file": str(loaded.file) if loaded.file else None,
        "preset": loaded.config.preset,
        "server": _server(loaded),
        "engine": _setting(loaded, "engine", loaded.config.engine),
        "remote": asdict(remote[0]) if remote else None,
        "providers": [asdict(part) for part in providers],
        "tools": shared,
        "assistants": assistants,
        "description": description,
        "warnings": warnings,
        "complete": not missing,
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        lines = [*_lines(loaded, [*remote, *providers]), *_tool_lines(shared, assistants)]
        lines += ["", description, *(f"Warning: {warning}" for warning in warnings)]
        lines.append("Something is missing. Write:" if missing else "Nothing is missing.")
        lines += [f"  {write}" for write in dict.fromkeys(each.write for each in missing)]
        typer.echo("\n".join(lines))
    raise typer.Exit(1 if missing else 0)


def _setting(loaded: "Loaded", path: str, value: object) -> str:
    """Return a value and its origin; for a table, which may contain secrets, only the names."""
    shown = ", ".join(sorted(value)) if isinstance(value, dict) else value
    return f"{shown} ({loaded.origin(path)})"


def _provider(loaded: "Loaded", choice: "ProviderChoice", store: "Store") -> ConfiguredPart:
    settings = loaded.config.slot(choice.role).settings
    return ConfiguredPart(
        role=choice.role,
        provider=choice.plugin.name,
        source=loaded.origin(f"{choice.role}.provider"),
        about=choice.about,
        settings={key: _setting(loaded, f"{choice.role}.{key}", value) for key, value in settings.items()},
        missing=list(_missing(choice, store)),
    )


def _missing(choice: "ProviderChoice", store: "Store") -> Iterator[Missing]:
    from vivavoce.extras import missing_packages

    if packages := missing_packages(choice.plugin.extra):
        yield Missing(f"packages {', '.join(packages)}", f"pip install 'vivavoce[{choice.plugin.extra}]'")
    key_env = getattr(choice.settings, "key_env", "")
    if key_env and not os.environ.get(key_env):
        yield Missing(f"key {key_env}", f"{key_env}=… {WHERE}")
    for name in (*choice.models, *choice.optional_models):
        if store.present(name) is None:
            yield Missing(f"weights {name}", f"viva models pull {name}")


def _remote(loaded: "Loaded") -> ConfiguredPart:
    table, missing = loaded.config.remote, []
    entra = table.server == "azure" and os.environ.get("AZURE_OPENAI_AD_TOKEN")
    if table.needs_key and not os.environ.get(table.key_variable) and not entra:
        missing.append(Missing(f"key {table.key_variable}", f"{table.key_variable}=… {WHERE}"))
    if table.server == "azure" and not (table.endpoint or os.environ.get("AZURE_OPENAI_ENDPOINT")):
        write = f"AZURE_OPENAI_ENDPOINT=https://….openai.azure.com {WHERE}"
        missing.append(Missing("endpoint", write))
    values = {name: value for name, value in table if value != ""}
    return ConfiguredPart(
        role="remote",
        provider=table.server,
        source=loaded.origin("remote.server"),
        about=table.about,
        settings={name: _setting(loaded, f"remote.{name}", value) for name, value in values.items()},
        missing=missing,
    )


def _port_warnings(config: "Config") -> Iterator[str]:
    """Yield why `viva serve` cannot listen, unless it is it that does."""
    import anyio

    from vivavoce.web.server import listen

    try:
        listen(config.server.host, config.server.port).close()
    except ConfigError as error:
        with suppress(ProviderError):  # it is loading: that is one, too
            url, _ = anyio.run(partial(server_for, config, None, "any", local=False, quiet=True))
            if url is None:
                yield f"viva serve: {error}"


def _folder_warnings(config: "Config", store: "Store", missing: list[Missing]) -> Iterator[str]:
    """Yield which folder cannot be written that has to be."""
    folders = {config.server.data.absolute(): "name another folder in [server] data"}
    if any(each.what.startswith("weights") for each in missing):
        folders[store.folder.absolute()] = "set VIVAVOCE_CACHE to a folder that can"
    for folder, advice in folders.items():
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if not (there.is_dir() and os.access(there, os.W_OK)):
            yield f"{there} cannot be written; {advice}."


def _talk_warnings() -> Iterator[str]:
    """Yield why `viva talk` has no microphone or no loudspeaker."""
    try:
        from vivavoce.transports.terminal.devices import CardLoudspeaker, CardMicrophone

        CardMicrophone(), CardLoudspeaker()
    except ConfigError as error:
        yield f"viva talk: {error}"


def _connection_warnings(config: "Config", choices: "Mapping[Role, ProviderChoice]") -> Iterator[str]:
    """Yield which endpoints cannot be reached, or refuse the key."""
    import anyio
    import httpx

    from vivavoce.connect import connect
    from vivavoce.upstream import endpoint_of

    async def call() -> None:
        async with connect(endpoint_of(config.remote)):
            pass

    if config.engine == "remote":
        try:
            anyio.run(call)
        except* (ConfigError, ProviderError) as failures:
            yield f"[remote] {failures.exceptions[0]}"
    for role, choice in choices.items():
        if not (url := getattr(choice.settings, "base_url", "")):
            continue
        key = os.environ.get(getattr(choice.settings, "key_env", ""), "")
        headers = {"Authorization": f"Bearer {key}", "api-key": key} if key else {}
        try:
            answer = httpx.get(f"{url.rstrip('/')}/models", headers=headers, timeout=CONNECT_SECONDS)
        except httpx.HTTPError:
            yield f"[{role}] {url} cannot be reached, or does not answer within {CONNECT_SECONDS} s."
        else:
            if answer.status_code in (401, 403):
                yield f"[{role}] {url} refuses the key ({answer.status_code})."


def _server(loaded: "Loaded") -> dict[str, str]:
    server, keys = loaded.config.server, len(loaded.config.secrets)
    values = {"host": server.host, "port": server.port, "data": server.data}
    shown = {name: _setting(loaded, f"server.{name}", value) for name, value in values.items()}
    return {**shown, "keys": _setting(loaded, "keys", keys) if keys else "none needed on this machine"}


def _lines(loaded: "Loaded", parts: list[ConfiguredPart]) -> Iterator[str]:
    config = loaded.config
    yield f"file         {loaded.file or 'none; the defaults apply'}"
    yield f"preset       {_setting(loaded, 'preset', config.preset)}"
    for key, value in _server(loaded).items():
        yield f"{key:12} {value}"
    yield f"{'engine':12} {_setting(loaded, 'engine', config.engine)}"
    for part in parts:
        yield from part.lines()
    if config.has_cascade and all(part.role != "denoiser" for part in parts):
        source = loaded.origin("denoiser.provider")
        yield f"\n{'denoiser':12} none ({source}); noise_reduction is accepted, and nothing is done"
        if config.denoiser.provider == "auto":
            yield f"{'':12} if you want it done, write: pip install 'vivavoce[denoise]'"


def _assistants(team: "Team | None") -> list[dict[str, object]]:
    if team is None:
        return []
    return [
        {
            "name": one.name,
            "greeting": one.greeting,
            "voice": one.voice,
            "language": one.language,
            "tools": {tool.name: tool.description.partition("\n")[0] for tool in team.tools_of(one)},
        }
        for one in team.members.values()
    ]


def _shared_tools(loaded: "Loaded") -> dict[str, str]:
    tools = loaded.config.tools
    servers = {one.label: f"MCP server, {one.url or ' '.join(one.command)}" for one in tools.mcp}
    return {**{one.name: one.description for one in tools.http}, **servers}


def _tool_lines(shared: dict[str, str], assistants: list[dict[str, object]]) -> Iterator[str]:
    if shared:
        yield ""
    for number, (name, description) in enumerate(shared.items()):
        yield f"{'' if number else 'tools':12} {name}: {description}"
    for each in assistants:
        yield f"\n{'assistant':12} {each['name']}"
        for key in ("greeting", "voice", "language"):
            if value := each[key]:
                yield f"{'':12} {key} = {value}"
        tools = each["tools"]
        for name, description in tools.items() if isinstance(tools, dict) else ():
            yield f"{'':12} {name}: {description}"
