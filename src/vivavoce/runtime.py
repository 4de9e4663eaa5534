"""Loads the providers, chooses the engine and builds the switchboard: the only module that imports them all."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from threading import Event
from typing import Any, Literal, Protocol, TypeVar, cast, runtime_checkable

import anyio
import anyio.to_thread
from msgspec import Struct
from msgspec.structs import replace

from vivavoce.assistants.registry import AssistantRegistry
from vivavoce.assistants.team import Team, system_prompt
from vivavoce.config.schema import Config
from vivavoce.engines.cascade.context import Providers
from vivavoce.engines.cascade.engine import Cascade
from vivavoce.engines.failover import Failover
from vivavoce.engines.remote.engine import Remote
from vivavoce.engines.sessions import create_transcription
from vivavoce.engines.speech import Speech
from vivavoce.errors import ConfigError, ProviderError, alternatives, first_failure
from vivavoce.extras import missing_packages
from vivavoce.mcp.servers import McpServers
from vivavoce.protocol.session import AnySession, Session, TranscriptionSession
from vivavoce.protocol.settings import DEFAULT, merge, without_voice
from vivavoce.providers.registry import ROLES, Plugin, Role, find, names, settings_for
from vivavoce.session.call import Brief, Recall
from vivavoce.session.instructions import InstructionSources
from vivavoce.session.line import Engine
from vivavoce.session.ringing import IncomingCalls
from vivavoce.session.switchboard import ListenerFactory, Switchboard
from vivavoce.session.webhook import Webhook
from vivavoce.text.languages import language_name, same_language
from vivavoce.tools.registry import ToolChange, ToolRegistry, open_tools
from vivavoce.tools.telephone import telephone_tools
from vivavoce.tools.types import Assistant
from vivavoce.upstream import endpoint_of, remote
from vivavoce.weights.store import OnProgress, Store, user_store

MODEL = "vivavoce"
"""the model's name in sessions whose client names none"""

State = Literal["waiting", "loading", "ready"]
OnStatus = Callable[[str], None]
"""Receives sentences for the user: what was loaded, and warnings about the configuration."""

OnLoading = Callable[[Sequence[str], int, float], None]
"""Receives the roles that are not ready and the number of all, when one changes, with 0 seconds, and every
`LOADING_SECONDS` with the seconds so far."""

LOADING_SECONDS = 10


@runtime_checkable
class Closable(Protocol):
    """A provider that has to be closed when the process ends."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class ProviderChoice:
    """The provider that the configuration chooses for one role, with its settings."""

    role: Role
    plugin: Plugin[Any]
    settings: Struct

    @property
    def models(self) -> Sequence[str]:
        """Names of the model weights that it needs."""
        return self.plugin.models(self.settings)

    @property
    def optional_models(self) -> Sequence[str]:
        """Names of the model weights that it can do without."""
        return self.plugin.optional_models(self.settings)

    @property
    def about(self) -> str:
        """The name of the model, for users."""
        return self.plugin.about(self.settings) or self.plugin.name


def choose_providers(config: Config, assistant: Assistant | None = None) -> Mapping[Role, ProviderChoice]:
    """Find the provider of every role and read its table. Raises `ConfigError`."""
    instructions = system_prompt(assistant) if assistant else config.session.instructions
    choices: dict[Role, ProviderChoice] = {}
    if not config.has_cascade:
        return choices
    for role in ROLES:
        slot = config.slot(role)
        name = _first_complete(role) if role == "denoiser" and slot.provider == "auto" else slot.provider
        if role in ("turn", "denoiser") and name == "none":
            continue
        plugin = find(role, name)
        table = slot.settings
        if "warm" in plugin.settings.__struct_fields__:  # a model that reads the instructions in advance
            table = {"warm": instructions, **table}
        settings = settings_for(plugin, table)
        plugin.check(settings)
        choices[role] = ProviderChoice(role, plugin, settings)
    language, plugin = config.session.language, choices["transcriber"].plugin
    if config.engine == "cascade" and language is not None and not _knows(plugin, language):
        problem = f"[session] language: {plugin.name!r} transcribes no {language_name(language)}"
        raise ConfigError(f"{problem}; {alternatives(language, plugin.languages or ())}.")
    voice, voices = config.session.voice, _voices(choices)
    if config.engine == "cascade" and voice is not None and voice not in (voices or [voice]):
        problem = f"[session] voice: {choices['synthesizer'].plugin.name!r} has no {voice!r}"
        raise ConfigError(f"{problem}; {alternatives(voice, voices or ())}.")
    return choices


def _voices(choices: Mapping[Role, ProviderChoice]) -> Sequence[str] | None:
    """Return the voices that a session may choose; None if that is not known."""
    return choices["synthesizer"].plugin.voices(choices["synthesizer"].settings)


def _first_complete(role: Role) -> str:
    """Return the first provider of a role whose packages are all installed, or `none`."""
    for name in (name for known, name in names() if known == role):
        if not missing_packages(find(role, name).extra):
            return name
    return "none"


def describe(config: Config, choices: Mapping[Role, ProviderChoice], assistant: Assistant | None = None) -> str:
    """Return a sentence for users: which assistant and model answer."""
    name = f"{assistant.name}: " if assistant else ""
    if config.engine == "cascade":
        return f"You talk with {name}{choices['chat'].about}."
    or_else = f"; while that is down, with {choices['chat'].about}" if config.remote.failover else ""
    return f"You talk with {name}{config.remote.about}{or_else}."


def language_warnings(
    choices: Mapping[Role, ProviderChoice], config: Config, team: Team | None = None
) -> Sequence[str]:
    """Return a warning for each configured language that a provider does not support."""
    members = team.members.values() if team else ()
    wanted = {"[session]": config.session.language, **{one.name: one.language for one in members}}
    return [
        f"[{role}] {choice.plugin.name} does not know {language_name(language)}, which {who} asks for; "
        "choose another provider."
        for role, choice in choices.items()
        for who, language in wanted.items()
        if language and not _knows(choice.plugin, language)
    ]


def _knows(plugin: Plugin[Any], language: str) -> bool:
    return plugin.languages is None or any(same_language(language, known) for known in plugin.languages)


class Runtime:
    """Providers, engine and switchboard, shared by all conversations. Nothing is loaded before `open`.

    `tools` are those of the configuration. `on_status` receives sentences for the user, `on_progress` the
    progress of downloads, `on_loading` that of loading. `listeners` create the listeners of each conversation,
    `recall` finds the earlier one that it continues. Raises `ConfigError`.
    """

    def __init__(
        self,
        config: Config,
        *,
        assistant: Assistant | None = None,
        tools: ToolRegistry | None = None,
        on_status: OnStatus = lambda sentence: None,
        on_progress: OnProgress | None = None,
        on_loading: OnLoading = lambda waiting, total, seconds: None,
        store: Store | None = None,
        listeners: Sequence[ListenerFactory] = (),
        recall: Recall | None = None,
    ) -> None:
        self.config, self.assistant = config, assistant
        self._tools = tools or ToolRegistry()
        if config.telephone.tools:
            self._tools.add(telephone_tools(lambda: self.switchboard, config.telephone.transfers))
        self.assistants = AssistantRegistry(assistant, self._tools, config.limits)
        self.choices = choose_providers(config, assistant)
        self.states: dict[Role, State] = dict.fromkeys(self.choices, "waiting")
        self._on_status, self._on_progress, self._on_loading = on_status, on_progress, on_loading
        self._store, self._listeners, self._recall = store or user_store(), listeners, recall
        self._providers: dict[Role, object] = {}
        self._switchboard: Switchboard | None = None
        self._incoming_calls: IncomingCalls | None = None
        self._speech: Speech | None = None

    @property
    def ready(self) -> bool:
        """Whether all models are loaded and warmed up."""
        return self._switchboard is not None

    @property
    def description(self) -> str:
        """A sentence for users: which assistant and model answer."""
        return describe(self.config, self.choices, self.assistant)

    @property
    def session(self) -> Session:
        """The default session, for clients that request no settings."""
        session = replace(merge(DEFAULT, self.config.session.session()), model=MODEL)
        return self.assistants.initial_session(session)

    def resolve_session(self, requested: AnySession) -> AnySession:
        """Return the complete session for one that a client requests. Raises `ProtocolError`."""
        self.check_language(requested)
        if isinstance(requested, TranscriptionSession):
            return create_transcription(self.session, requested)
        session = merge(self.session, self.assistants.allowed(requested), tools=self.config.limits.tools)
        return replace(session, model=requested.model or session.model)

    def check_language(self, session: AnySession) -> None:
        """Raise `ProtocolError` if the transcriber of this server knows none of a session's languages."""
        if self._speech and self.config.engine == "cascade":
            self._speech.providers.transcriber_queue.check_session(session)

    @property
    def switchboard(self) -> Switchboard:
        """Connects callers to the engine. Raises `RuntimeError` before `open` has finished."""
        return _opened(self._switchboard)

    @property
    def incoming_calls(self) -> IncomingCalls:
        """The calls that wait to be accepted. Raises `RuntimeError` before `open` has finished."""
        return _opened(self._incoming_calls)

    @property
    def speech(self) -> Speech:
        """Transcription and speech synthesis by HTTP, if `config.has_cascade`.

        Raises `RuntimeError` before `open` has finished.
        """
        return _opened(self._speech)

    async def open(self) -> None:
        """Download missing weights, and load and warm up all models concurrently.

        Raises `ConfigError` and `ProviderError`.
        """
        if self.config.engine == "remote":
            endpoint_of(self.config.remote)  # raises for missing settings before anything is loaded
        for role, choice in self.choices.items():
            if missing := ", ".join(missing_packages(choice.plugin.extra)):
                write = f"write: pip install 'vivavoce[{choice.plugin.extra}]'"
                raise ConfigError(f"[{role}] {choice.plugin.name!r} needs {missing}; {write}")
        for warning in language_warnings(self.choices, self.config, self.assistants.team):
            self._on_status(warning)
        await self._fetch_weights()
        try:
            async with anyio.create_task_group() as reporting:
                reporting.start_soon(self._report_loading)
                await anyio.to_thread.run_sync(_import_packages, list(self.choices.values()))
                async with anyio.create_task_group() as tasks:
                    for choice in self.choices.values():
                        tasks.start_soon(self._open, choice)
                    tasks.start_soon(self._tools.wait_loaded)
                reporting.cancel_scope.cancel()
        except ExceptionGroup as failures:
            raise first_failure(failures) from failures
        if not self.config.has_cascade:
            self.use_engine(self._remote())
            return
        chat_name = self.choices["chat"].about.partition(",")[0]
        await self.use_providers(Providers(**cast("dict[str, Any]", self._providers), chat_name=chat_name))

    async def use_providers(self, providers: Providers) -> None:
        """Use providers that are loaded already, in tests or in programs with providers of their own."""
        limits = self.config.limits
        servers = McpServers(limits, self.config.mcp_servers)
        alone = self.config.engine == "cascade"
        session = self.session if alone else without_voice(self.session)
        cascade = Cascade(providers, session=session, limits=limits, mcp=servers)
        try:
            await cascade.warm_up()
        except ProviderError as error:
            if not error.retryable:
                raise
            problem = f"The models could not be warmed up: {error}"
            self._on_status(f"{problem}. It starts all the same; each conversation tries it again.")
        self._speech = Speech(providers, limits)
        self.use_engine(cascade if alone else Failover(self._remote(), cascade))

    def _remote(self) -> Remote:
        return remote(self.config.remote, self.session, self.config.limits)

    def use_engine(self, engine: Engine) -> None:
        """Use this engine for all new conversations."""
        assistants, limits = self.assistants, self.config.limits
        self._switchboard = Switchboard(
            engine,
            limits=limits,
            listeners=self._listeners,
            middleware=assistants.middleware,
            session_for=assistants.with_tools,
            recall=self._recall,
            brief=self._brief(),
        )
        url, secret = self.config.server.webhook, self.config.webhook_secret.get_secret_value()
        webhook = Webhook(url, secret, limits).send if url else None
        self._incoming_calls = IncomingCalls(self._switchboard, webhook)

    def _brief(self) -> Brief | None:
        """Return what reads the instructions of each conversation; None where they are known."""
        session = self.config.session
        if self.assistant or session.has_own_instructions:
            return None
        if not (session.instructions_url or session.instructions_file):
            return None
        return InstructionSources(session.instructions_url, session.instructions_file, self.config.limits).read

    async def close(self) -> None:
        """Close the providers that are `Closable`."""
        for provider in self._providers.values():
            if isinstance(provider, Closable):
                await provider.aclose()

    async def _fetch_weights(self) -> None:
        await self._pull([model for choice in self.choices.values() for model in choice.models])
        for choice in self.choices.values():
            try:
                await self._pull(choice.optional_models)
            except ConfigError as error:
                self._on_status(f"{error} [{choice.role}] does without for now.")

    async def _pull(self, models: Sequence[str]) -> None:
        stop = Event()
        pull = partial(self._store.pull, models, on_progress=self._on_progress, stop=stop)
        try:
            await anyio.to_thread.run_sync(pull, limiter=anyio.CapacityLimiter(1), abandon_on_cancel=True)
        finally:
            stop.set()

    async def _report_loading(self) -> None:
        began = anyio.current_time()
        while True:
            await anyio.sleep(LOADING_SECONDS)
            self._tell_loading(anyio.current_time() - began)

    def _tell_loading(self, seconds: float = 0) -> None:
        waiting = [role for role, state in self.states.items() if state != "ready"]
        self._on_loading(waiting, len(self.states), seconds)

    async def _open(self, choice: ProviderChoice) -> None:
        began = anyio.current_time()
        self.states[choice.role] = "loading"
        self._tell_loading()
        self._providers[choice.role] = await choice.plugin.open(choice.settings, self._store.weights)
        self.states[choice.role] = "ready"
        self._tell_loading()
        self._on_status(f"{choice.role}: {choice.about} ({anyio.current_time() - began:.1f} s)")


T = TypeVar("T")


def _opened(part: T | None) -> T:
    if part is None:
        raise RuntimeError("the runtime is not open yet")
    return part


def _import_packages(choices: Sequence[ProviderChoice]) -> None:
    """Import the providers' packages, in one thread; the providers themselves report missing ones."""
    for choice in choices:
        for package in choice.plugin.packages:
            with suppress(ImportError):
                import_module(package)


@asynccontextmanager
async def open_runtime(
    config: Config,
    *,
    assistant: Assistant | None = None,
    on_status: OnStatus = lambda sentence: None,
    on_progress: OnProgress | None = None,
    on_loading: OnLoading = lambda waiting, total, seconds: None,
    listeners: Sequence[ListenerFactory] = (),
    recall: Recall | None = None,
    change_tool: ToolChange = lambda tool: tool,
) -> AsyncIterator[Runtime]:
    """Yield a runtime that is open (`Runtime.open`), and close it when the block is left.

    The arguments are those of `Runtime`; `change_tool` returns what is used in place of a tool of the
    configuration. Raises `ConfigError` and `ProviderError`.
    """
    async with open_tools(config.tools, config.limits, change_tool) as tools:
        runtime = Runtime(
            config,
            assistant=assistant,
            tools=tools,
            on_status=on_status,
            on_progress=on_progress,
            on_loading=on_loading,
            listeners=listeners,
            recall=recall,
        )
        try:
            await runtime.open()
            yield runtime
        finally:
            await runtime.close()
