"""Options, configuration and connections that several commands share."""

import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from vivavoce.cli.progress import Progress, print_status
from vivavoce.errors import ConfigError, ProtocolError, ProviderError

if TYPE_CHECKING:
    import ssl

    from anyio import CancelScope

    from vivavoce.config.loading import Loaded
    from vivavoce.config.schema import Config
    from vivavoce.runtime import ProviderChoice, Runtime
    from vivavoce.session.call import Storing
    from vivavoce.session.line import Line
    from vivavoce.session.switchboard import ListenerFactory
    from vivavoce.store.conversation_rows import PricedModel
    from vivavoce.store.recorder import Recorder
    from vivavoce.tools.types import Assistant

STATUS_SECONDS = 1
READY_SECONDS = 300

File = Annotated[
    Path | None, typer.Option("--config", help="The configuration; else ./vivavoce.toml, if there is one.")
]
Preset = Annotated[
    str | None, typer.Option(help="offline (the default), scripted, openai-realtime or azure-realtime.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no progress, only what was asked for and errors.")
]
Local = Annotated[
    bool,
    typer.Option("--local", help="Load the models into this process, even if a server runs on this machine."),
]
Chat = Annotated[str | None, typer.Option(help="The chat model; offline: small or large.")]
KeyVariable = Annotated[str | None, typer.Option("--key-env", help="Variable with the server's key.")]


def integer(text: str) -> int:
    """Return the integer of an option."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        raise typer.BadParameter(f"must be an integer, not {text!r}.")
    return int(text)


def configuration(
    *,
    file: Path | None = None,
    preset: str | None = None,
    chat: str | None = None,
    server: Mapping[str, object] | None = None,
    telephone: Mapping[str, object] | None = None,
    warn: Callable[[str], None] = print_status,
) -> "Loaded":
    """Load all layers of the configuration; the command line's come last. Raises `ConfigError`.

    `server` and `telephone` are flags for these tables, of which None are left out; `warn` is told what looks
    like a mistake.
    """
    from vivavoce.config.loading import load

    flags: dict[str, object] = {
        "server": {key: value for key, value in (server or {}).items() if value is not None},
        "telephone": {key: value for key, value in (telephone or {}).items() if value is not None},
        "chat": {} if chat is None else {"model": chat},
    }
    loaded = load(file=file, flags=flags if preset is None else {"preset": preset, **flags})
    for warning in loaded.warnings:
        warn(warning)
    return loaded


def key_from(variable: str | None) -> str | None:
    """Return the key in an environment variable. Raises `ConfigError` if it is empty."""
    if variable is None:
        return None
    if key := os.environ.get(variable):
        return key
    raise ConfigError(f"The environment has no {variable}; write: export {variable}=the-key")


@asynccontextmanager
async def open_conversation(
    config: "Config",
    transport: str,
    *,
    assistant: "Assistant | None",
    url: str | None,
    key: str | None,
    quiet: bool = False,
    in_real_time: bool = True,
    continues: str | None = None,
    store: "Storing" = "all",
) -> AsyncIterator["Line"]:
    """Yield a line to the server at `url`, or without one to models that are loaded in this process.

    `in_real_time` is whether somebody listens while an answer is made (`Caller`), `continues` the id of
    an earlier conversation that is continued, `store` what may be written down of this one.
    """
    if url is not None:
        from vivavoce.connect import connect, endpoint_at

        wishes = {"conversation": continues or "", "store": store if store != "all" else ""}
        endpoint = endpoint_at(url, key=key, tls=own_certificate(config, url))
        async with connect(endpoint.with_query(**{name: one for name, one in wishes.items() if one})) as line:
            yield line
        return
    from vivavoce.runtime import open_runtime
    from vivavoce.session.call import Caller

    progress = Progress(quiet=quiet)
    async with AsyncExitStack() as stack:
        recorder = await stack.enter_async_context(open_recorder(config, progress.on_status))
        opening = open_runtime(
            config,
            assistant=assistant,
            on_status=progress.on_status,
            on_progress=progress.on_progress,
            on_loading=progress.on_loading,
            listeners=listeners(recorder),
            recall=recorder.recall if recorder else None,
        )
        with progress:
            runtime = await stack.enter_async_context(opening)
        describe_to(recorder, runtime)
        progress.on_status(runtime.description)
        caller = Caller(transport, in_real_time=in_real_time, continues=continues, store=store)
        yield await stack.enter_async_context(runtime.switchboard.connect(caller))


async def find_earlier(config: "Config", conversation: str) -> str:
    """Return the id of a stored conversation: `last` is the newest in which something was said.

    It may be given by the beginning of its id. Raises `ConfigError` if there is none.
    """
    from vivavoce.session.call import LAST, Caller
    from vivavoce.store.database import Database
    from vivavoce.store.history import read_history
    from vivavoce.store.queries import find_conversation

    database = Database(config.store_url)
    try:
        await database.open()
        if conversation != LAST:
            return str((await find_conversation(database, conversation))["id"])
        return (await read_history(database, Caller("terminal", continues=LAST), config.limits)).id
    except ProtocolError as error:
        raise ConfigError("Nothing was said yet that could be continued; see: viva history list") from error
    finally:
        await database.close()


async def server_for(
    config: "Config", url: str | None, key: str | None, *, local: bool, quiet: bool
) -> tuple[str | None, str | None]:
    """Return the URL and key of the server to connect to: the given one, or ours if it runs on this machine.

    It is asked for where the configuration has `viva serve` listen, and not if `local`; while its models are
    loading, this waits. Without a server the URL is None. Raises `ProviderError`.
    """
    import anyio
    import httpx

    if url is not None or local:
        return url, key
    key = key or next(iter(config.secrets), None)
    ours = own_address(config)
    say = Progress(quiet=quiet).on_status
    with anyio.move_on_after(READY_SECONDS):
        tls, shown = own_certificate(config, ours), {"authorization": f"Bearer {key}"} if key else None
        async with httpx.AsyncClient(timeout=STATUS_SECONDS, trust_env=False, verify=tls or True) as client:
            for attempt in count():
                try:
                    status = (await client.get(f"{ours}/v1/status", headers=shown)).json()
                except (httpx.HTTPError, httpx.InvalidURL, ValueError):
                    return None, None
                if not isinstance(status, dict) or "ready" not in status:
                    return None, None
                if status.get("key_needed") and not key:
                    say(f"The server at {ours} asks for a key (--key-env); the models are loaded here instead.")
                    return None, None
                if status["ready"]:
                    say(f"{status.get('description', '')} That is the server at {ours}; --local asks none.")
                    return ours, key
                if not attempt:
                    say(f"The server at {ours} is still loading its models; waiting for it (--local does not).")
                await anyio.sleep(STATUS_SECONDS)
    raise ProviderError("server", f"{ours} has not loaded its models in {READY_SECONDS} s; try --local")


def own_address(config: "Config") -> str:
    """Return the URL at which `viva serve` can be reached from this machine, with this configuration."""
    server = config.server
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104
    return f"{server.scheme}://{f'[{host}]' if ':' in host else host}:{server.port}"


def own_certificate(config: "Config", url: str) -> "ssl.SSLContext | None":
    """Return what trusts the certificate of our own server and no other, where a URL means that server.

    None means the usual trust, for any other URL, or if the certificate is another user's.
    """
    from vivavoce.web.security.tls import trusting

    server = config.server
    file = server.certificate or server.own_certificate
    if not (server.has_tls and url.startswith(own_address(config)) and os.access(file, os.R_OK)):
        return None
    return trusting(file)


@asynccontextmanager
async def open_recorder(config: "Config", on_status: Callable[[str], None]) -> AsyncIterator["Recorder | None"]:
    """Yield the recorder that `[store]` describes, or None if nothing is to be recorded, or can be.

    Raises `ConfigError` for an invalid setting. A database that fails is reported, and does not matter here.
    """
    from vivavoce.extras import missing_packages

    if not config.store.enabled:
        yield None
        return
    if missing := ", ".join(missing_packages("store")):
        write = "write: pip install 'vivavoce[store]', or enabled = false in [store]"
        on_status(f"Conversations are not stored, because {missing} is not installed; {write}.")
        yield None
        return
    from vivavoce.cli.assistants import load_function
    from vivavoce.store.database import Database
    from vivavoce.store.recorder import Recorder, recording

    settings = config.store
    recorder = Recorder(
        Database(config.store_url),
        journal_folder(config),
        journal_bytes=config.limits.journal_bytes,
        limits=config.limits,
        events=settings.events,
        recordings=recordings_folder(config) if settings.recordings else None,
        redact=load_function(settings.redact) if settings.redact else None,
        keep_days=settings.keep_days,
        keep_bytes=settings.keep_bytes,
        on_status=on_status,
    )
    async with recording(recorder):
        yield recorder


def journal_folder(config: "Config") -> Path:
    """Return where the journal is, and recordings wait."""
    return config.server.data.absolute() / "journal"


def recordings_folder(config: "Config") -> str:
    """Return the folder, or the URL of one, where recordings belong."""
    return config.store.recordings_url or str(config.server.data.absolute() / "recordings")


def listeners(recorder: "Recorder | None") -> "Sequence[ListenerFactory]":
    """Return the listeners of a runtime: the recorder, if there is one."""
    return [recorder.listen] if recorder else []


def describe_to(recorder: "Recorder | None", runtime: "Runtime") -> None:
    """Tell a recorder which engine and models answer."""
    if recorder:
        recorder.engine, recorder.store = runtime.config.engine, runtime.assistants.store
        recorder.models = models_of(runtime)


def models_of(runtime: "Runtime") -> "dict[str, PricedModel]":
    """Return the models that answer, by role, as the table of prices names them."""
    from vivavoce.store.conversation_rows import PricedModel

    config, server = runtime.config, runtime.config.remote.server
    if config.engine == "remote":
        return {
            "realtime": PricedModel(server, config.remote.model),
            "transcriber": PricedModel(server, config.remote.transcriber),
        }
    return {role: priced_model(choice) for role, choice in runtime.choices.items()}


def priced_model(choice: "ProviderChoice") -> "PricedModel":
    """Return a provider and its model as the table of prices names them, which knows no other servers."""
    from vivavoce.store.conversation_rows import PricedModel

    address = getattr(choice.settings, "base_url", "")
    elsewhere = choice.plugin.name == "openai" and urlsplit(address).hostname != "api.openai.com"
    provider = address if elsewhere else choice.plugin.name
    return PricedModel(provider, str(getattr(choice.settings, "model", "") or choice.about))


def connection_error(line: "Line") -> ProviderError | None:
    """Return the error with which a line's connection was lost, or None."""
    from vivavoce.connect import RemoteLine

    return line.lost if isinstance(line, RemoteLine) else None


async def cancel_on_signal(scope: "CancelScope") -> None:
    """Cancel a scope at the first SIGINT (Ctrl-C), SIGTERM, or SIGHUP unless it is ignored, as by `nohup`."""
    import anyio

    ending = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ending.append(signal.SIGHUP)
    with anyio.open_signal_receiver(*ending) as signals:
        async for _ in signals:
            scope.cancel()
            return
