"""The one room that knows everyone: chooses the providers, opens them, and puts the house together."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, requires
from threading import Event
from typing import Any, Literal, Protocol, cast, runtime_checkable

import anyio
import anyio.to_thread
from msgspec import Struct
from msgspec.structs import replace

from vivavoce.assistants.registry import AssistantRegistry
from vivavoce.assistants.team import Team, system_prompt
from vivavoce.config.schema import Config
from vivavoce.engines.cascade.engine import Cascade, Providers
from vivavoce.engines.failover import Failover
from vivavoce.engines.remote import Remote
from vivavoce.engines.remote.options import voiceless
from vivavoce.engines.speech import Speech
from vivavoce.engines.transcription_session import begun
from vivavoce.errors import ConfigError
from vivavoce.mcp.servers import McpServers
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.providers.registry import ROLES, Plugin, Role, find, names, settings_for
from vivavoce.session.line import Engine, Line
from vivavoce.session.ringing import IncomingCalls, TellOfCall
from vivavoce.session.switchboard import ListenerFactory, Switchboard
from vivavoce.session.webhook import Webhook
from vivavoce.text.languages import language_name, same_language
from vivavoce.tools.registry import ToolRegistry, opened
from vivavoce.tools.types import Assistant
from vivavoce.upstream import endpoint_of, remote
from vivavoce.weights.store import Report, Store, here

__all__ = [
    "MODEL",
    "Choice",
    "Runtime",
    "State",
    "assemble",
    "choose",
    "introduction",
    "missing_packages",
    "strangers",
]

MODEL = "vivavoce"
"""what we call ourselves when a client names no model"""

_NAME = re.compile(r"[\w.-]+")

State = Literal["waiting", "loading", "ready"]
Tell = Callable[[str], None]


@runtime_checkable
class Closing(Protocol):
    """A provider that has something to put away at the end."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class _Equipped:
    """An engine whose conversations begin with the tools that are there by then: some come late."""

    engine: Engine
    service: AssistantRegistry

    async def converse(self, line: Line, session: Session | TranscriptionSession | None = None) -> None:
        await self.engine.converse(line, self.service.equipped(session))


@dataclass(frozen=True)
class Choice:
    """Who does one of the jobs, and how."""

    role: Role
    plugin: Plugin[Any]
    settings: Struct

    @property
    def models(self) -> Sequence[str]:
        """The weights that it needs."""
        return self.plugin.models(self.settings)

    @property
    def about(self) -> str:
        """Who it is, for people."""
        return self.plugin.about(self.settings) or self.plugin.name


def choose(config: Config, assistant: Assistant | None = None) -> Mapping[Role, Choice]:
    """Find every provider and read its table. Raises `ConfigError`."""
    instructions = system_prompt(assistant) if assistant else config.session.instructions
    choices: dict[Role, Choice] = {}
    if not config.has_cascade:
        return choices
    for role in ROLES:
        slot = config.slot(role)
        name = _installed(role) if role == "denoiser" and slot.provider == "auto" else slot.provider
        if role in ("turn", "denoiser") and name == "none":
            continue
        plugin = find(role, name)
        table = slot.settings
        if "warm" in plugin.settings.__struct_fields__:  # a model that reads the instructions before they come
            table = {"warm": instructions, **table}
        choices[role] = Choice(role, plugin, settings_for(plugin, table))
    return choices


def _installed(role: Role) -> str:
    """Return the first provider of a role for which nothing is missing, or `none`."""
    for name in (name for known, name in names() if known == role):
        if not missing_packages(find(role, name).extra):
            return name
    return "none"


def introduction(config: Config, choices: Mapping[Role, Choice], assistant: Assistant | None = None) -> str:
    """Say to people who answers them, and how far to trust it."""
    name = f"{assistant.name}: " if assistant else ""
    if config.engine == "cascade":
        return f"You talk with {name}{choices['chat'].about}."
    or_else = f"; while that is down, with {choices['chat'].about}" if config.remote.failover else ""
    return f"You talk with {name}{config.remote.about}{or_else}."


def strangers(choices: Mapping[Role, Choice], config: Config, staff: Team | None = None) -> Sequence[str]:
    """Say which languages are to be spoken that a provider does not know."""
    known = staff.known.values() if staff else ()
    asks = {"[session]": config.session.language, **{one.name: one.language for one in known}}
    return [
        f"[{role}] {choice.plugin.name} does not know {language_name(language)}, which {who} asks for; "
        "choose another provider."
        for role, choice in choices.items()
        for who, language in asks.items()
        if language and not _knows(choice.plugin, language)
    ]


def _knows(plugin: Plugin[Any], language: str) -> bool:
    return plugin.languages is None or any(same_language(language, known) for known in plugin.languages)


def missing_packages(extra: str | None) -> Sequence[str]:
    """Return what an extra of ours needs and is not installed."""
    if extra is None:
        return []
    lines = [line.partition(";") for line in requires("vivavoce") or ()]
    needs = [
        need for need, _, marker in lines if f"extra=='{extra}'" in marker.replace(" ", "").replace('"', "'")
    ]
    wanted = [_NAME.match(need) for need in needs]
    return [name[0] for name in wanted if name and not _is_installed(name[0])]


def _is_installed(name: str) -> bool:
    try:
        return bool(distribution(name))
    except PackageNotFoundError:
        return False


class Runtime:
    """Models, switchboard and speech, shared by all who come in. Nothing is loaded before `open`."""

    def __init__(
        self,
        config: Config,
        *,
        assistant: Assistant | None = None,
        shelf: ToolRegistry | None = None,
        tell: Tell = lambda sentence: None,
        report: Report | None = None,
        store: Store | None = None,
        listeners: Sequence[ListenerFactory] = (),
    ) -> None:
        self.config, self.assistant = config, assistant
        self._shelf = shelf or ToolRegistry()
        self.service = AssistantRegistry(assistant, self._shelf, config.limits)
        self.choices = choose(config, assistant)
        self.states: dict[Role, State] = dict.fromkeys(self.choices, "waiting")
        self._tell, self._report, self._store, self._listeners = tell, report, store or here(), listeners
        self._providers: dict[Role, object] = {}
        self._switchboard: Switchboard | None = None
        self._lobby: IncomingCalls | None = None
        self._speech: Speech | None = None

    @property
    def ready(self) -> bool:
        """Whether all models are loaded and warm."""
        return self._switchboard is not None

    @property
    def introduction(self) -> str:
        """Say to people who answers them, and how far to trust it."""
        return introduction(self.config, self.choices, self.assistant)

    @property
    def session(self) -> Session:
        """How a conversation is held until its client says otherwise."""
        session = replace(merge(DEFAULT, self.config.session.session()), model=MODEL)
        return self.service.begin(session)

    def as_it_will_be(self, wish: Session | TranscriptionSession) -> Session | TranscriptionSession:
        """Return the whole session that begins with this wish. Raises `ProtocolError` if none can."""
        if isinstance(wish, TranscriptionSession):
            return begun(self.session, wish)
        session = merge(self.session, self.service.passing(wish), tools=self.config.limits.tools)
        return replace(session, model=wish.model or session.model)

    @property
    def switchboard(self) -> Switchboard:
        """Where callers are put through, once all is ready."""
        if self._switchboard is None:
            raise RuntimeError("the house is not open yet")
        return self._switchboard

    @property
    def lobby(self) -> IncomingCalls:
        """Where incoming calls wait to be accepted, once all is ready."""
        if self._lobby is None:
            raise RuntimeError("the house is not open yet")
        return self._lobby

    @property
    def has_speech(self) -> bool:
        """Whether there will be anybody who hears recordings and reads texts out."""
        return self.config.has_cascade

    @property
    def speech(self) -> Speech:
        """Hears recordings and reads texts out, once all is ready."""
        if self._speech is None:
            raise RuntimeError("the house is not open yet")
        return self._speech

    async def open(self) -> None:
        """Fetch what is missing, load and warm all models at once. Raises `ConfigError`, `ProviderError`."""
        if self.config.engine == "remote":
            endpoint_of(self.config.remote)  # what is missing there is told before anything is loaded
        for choice in self.choices.values():
            _insist_on_packages(choice)
        for stranger in strangers(self.choices, self.config, self.service.staff):
            self._tell(stranger)
        await self._fetch()
        await anyio.to_thread.run_sync(_import_packages, list(self.choices.values()))
        try:
            async with anyio.create_task_group() as tasks:
                for choice in self.choices.values():
                    tasks.start_soon(self._open, choice)
                tasks.start_soon(self._shelf.settle)
        except ExceptionGroup as failures:
            raise _first(failures) from failures
        if not self.config.has_cascade:
            self.employ(self._remote())
            return
        chat_is = self.choices["chat"].about.partition(",")[0]
        await self.furnish(Providers(**cast("dict[str, Any]", self._providers), chat_is=chat_is))

    async def furnish(self, crew: Providers) -> None:
        """Put models to work that are loaded already: for tests, and for programs that bring their own."""
        limits = self.config.limits
        servers = McpServers(limits, self.config.mcp_servers)
        alone = self.config.engine == "cascade"
        session = self.session if alone else voiceless(self.session)
        cascade = Cascade(crew, session=session, limits=limits, reach=servers)
        await cascade.rehearse()
        self._speech = Speech(crew, limits)
        self.employ(cascade if alone else Failover(self._remote(), cascade))

    def _remote(self) -> Remote:
        return remote(self.config.remote, self.session, self.config.limits)

    def employ(self, engine: Engine) -> None:
        """Let this engine answer from now on."""
        service, limits = self.service, self.config.limits
        middleware = (lambda caller: service.middleware(caller.id)) if service.is_needed else None
        self._switchboard = Switchboard(
            _Equipped(engine, service), limits=limits, listeners=self._listeners, middleware=middleware
        )
        self._lobby = IncomingCalls(self._switchboard, self._webhook())

    def _webhook(self) -> TellOfCall | None:
        url, secret = self.config.server.webhook, self.config.webhook_secret.get_secret_value()
        return Webhook(url, secret, self.config.limits).tell if url else None

    async def close(self) -> None:
        """Put away what the providers hold."""
        for provider in self._providers.values():
            if isinstance(provider, Closing):
                await provider.aclose()

    async def _fetch(self) -> None:
        names = [name for choice in self.choices.values() for name in choice.models]
        stop = Event()
        pull = partial(self._store.pull, names, report=self._report, stop=stop)
        try:
            await anyio.to_thread.run_sync(pull, limiter=anyio.CapacityLimiter(1), abandon_on_cancel=True)
        finally:
            stop.set()

    async def _open(self, choice: Choice) -> None:
        began = anyio.current_time()
        self.states[choice.role] = "loading"
        self._providers[choice.role] = await choice.plugin.open(choice.settings, self._store.weights)
        self.states[choice.role] = "ready"
        self._tell(f"{choice.role}: {choice.about} ({anyio.current_time() - began:.1f} s)")


def _insist_on_packages(choice: Choice) -> None:
    if missing := missing_packages(choice.plugin.extra):
        raise ConfigError(
            f"[{choice.role}] {choice.plugin.name!r} needs {', '.join(missing)}; "
            f"write: pip install 'vivavoce[{choice.plugin.extra}]'"
        )


def _import_packages(choices: Sequence[Choice]) -> None:
    """Import what the providers need, in one thread; what is missing they report themselves, by name."""
    for choice in choices:
        for package in choice.plugin.packages:
            with suppress(ImportError):
                import_module(package)


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    """Return what went wrong first; the rest was cancelled for it."""
    failure = failures.exceptions[0]
    return _first(failure) if isinstance(failure, ExceptionGroup) else failure


@asynccontextmanager
async def assemble(
    config: Config,
    *,
    assistant: Assistant | None = None,
    tell: Tell = lambda sentence: None,
    report: Report | None = None,
    listeners: Sequence[ListenerFactory] = (),
) -> AsyncIterator[Runtime]:
    """Give a house that is open: everything loaded and warm. Leaving the block puts it away.

    `tell` hears, in sentences for people, what has been loaded; `report` what is being fetched.
    """
    async with opened(config.tools, config.limits) as shelf:
        house = Runtime(config, assistant=assistant, shelf=shelf, tell=tell, report=report, listeners=listeners)
        try:
            await house.open()
            yield house
        finally:
            await house.close()
