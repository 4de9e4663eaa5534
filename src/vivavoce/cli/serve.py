"""`viva serve`: listens, loads the models, and serves conversations until stopped."""

import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.assistants import AssistantPlace, load_assistant
from vivavoce.cli.common import (
    Chat,
    File,
    Preset,
    Quiet,
    cancel_on_signal,
    configuration,
    describe_to,
    integer,
    listeners,
    open_recorder,
)
from vivavoce.cli.phone import invitation
from vivavoce.cli.progress import Progress, print_status

if TYPE_CHECKING:
    from vivavoce.config.schema import Config
    from vivavoce.tools.types import Assistant
    from vivavoce.web.app import Web


def serve(
    assistant: AssistantPlace = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; beyond this machine, set a key.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port to listen on; 0 takes any.", parser=integer, metavar="NUMBER"),
    ] = None,
    https: Annotated[
        bool, typer.Option("--https", help="Speak HTTPS, with a certificate of its own if none is named.")
    ] = False,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The certificate for HTTPS, and its chain (PEM).")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The certificate's key, if in another file.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for what is written down.")] = None,
    avr: Annotated[
        bool, typer.Option("--avr", help="Answer calls of Agent Voice Response, too, on port 6030.")
    ] = False,
    avr_port: Annotated[
        int | None, typer.Option(help="The same on another port.", parser=integer, metavar="NUMBER")
    ] = None,
    audiosocket: Annotated[
        bool, typer.Option("--audiosocket", help="Answer calls of Asterisk by AudioSocket, too, on port 9092.")
    ] = False,
    audiosocket_port: Annotated[
        int | None, typer.Option(help="The same on another port.", parser=integer, metavar="NUMBER")
    ] = None,
    sip: Annotated[
        bool, typer.Option("--sip", help="Answer calls by SIP, too, on port 5060 (the extra sip).")
    ] = False,
    sip_port: Annotated[
        int | None, typer.Option(help="The same on another port.", parser=integer, metavar="NUMBER")
    ] = None,
    config: File = None,
    preset: Preset = None,
    chat: Chat = None,
    quiet: Quiet = False,
) -> None:
    """Serve conversations by WebSocket, WebRTC, HTTP and telephone."""
    import anyio

    server = {"host": host, "port": port, "data": data, "https": https or None}
    server |= {"certificate": certificate, "certificate_key": key}
    telephone = {"avr": avr or avr_port is not None or None, "avr_port": avr_port}
    wants_audiosocket = audiosocket or audiosocket_port is not None
    telephone |= {"sip": sip or sip_port is not None or None, "sip_port": sip_port}
    telephone |= {"audiosocket": wants_audiosocket or None, "audiosocket_port": audiosocket_port}
    loaded = configuration(file=config, preset=preset, chat=chat, server=server, telephone=telephone).config
    who = load_assistant(assistant)
    anyio.run(_serve, loaded, who, quiet, backend_options={"use_uvloop": find_spec("uvloop") is not None})


async def _serve(config: "Config", assistant: "Assistant | None", quiet: bool) -> None:
    import anyio

    from vivavoce.memory import keep
    from vivavoce.runtime import Runtime
    from vivavoce.tools.registry import open_tools
    from vivavoce.web.app import Web
    from vivavoce.web.security.tls import open_tls, reachable_hosts
    from vivavoce.web.server import listen, serving
    from vivavoce.web.telephones import serving_telephones

    progress = Progress(quiet=quiet, write=partial(print_status, to_log=True))
    say = progress.on_status
    async with open_recorder(config, say) as recorder, open_tools(config.tools, config.limits) as tools:
        runtime = Runtime(
            config,
            assistant=assistant,
            tools=tools,
            on_status=say,
            on_progress=progress.on_progress,
            on_loading=progress.on_loading,
            listeners=listeners(recorder),
            recall=recorder.recall if recorder else None,
        )
        describe_to(recorder, runtime)
        web = Web(runtime, recorder, open_tls(config.server))
        listening = listen(config.server.host, config.server.port)
        async with serving(web, listening) as url, serving_telephones(web) as telephones:
            say(f"Listening on {url}. Loading the models.")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel_on_signal, tasks.cancel_scope)
                with progress:
                    await runtime.open()
                keep()
                say(f"Ready. {runtime.description}")
                port = int(url.rpartition(":")[2])
                at = f"{config.server.scheme}://{reachable_hosts(config.server)[0]}:{port}"
                for sentence in telephones:
                    say(sentence)
                say(f"Open {at} and talk, or connect a Realtime client to {at}/v1 (Ctrl-C ends).")
                if web.tls:
                    say(await _for_phones(web, port))
            say("Goodbye.")
        await runtime.close()


async def _for_phones(web: "Web", port: int) -> str:
    """Return what a phone needs: a code, on a terminal only, because logs are kept."""
    config = web.runtime.config
    if config.server.is_local:
        return "Only this machine reaches it; for a phone, add --host 0.0.0.0 (and a key in VIVAVOCE_KEYS)."
    if not sys.stdout.isatty():
        return "For a phone, viva phone prints a code to be scanned."
    return "\n".join(invitation(await web.sign_in.issue(port)))
