"""`viva serve`: listens, loads the models, and serves conversations until stopped."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.assistants import AssistantPlace, load_assistant
from vivavoce.cli.common import Chat, File, Preset, cancel_on_signal, configuration

if TYPE_CHECKING:
    from vivavoce.config.schema import Config
    from vivavoce.tools.types import Assistant


def serve(
    assistant: AssistantPlace = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; beyond this machine, set a key.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for what is written down.")] = None,
    config: File = None,
    preset: Preset = None,
    chat: Chat = None,
) -> None:
    """Serve conversations by WebSocket, WebRTC and HTTP."""
    import anyio

    loaded = configuration(file=config, preset=preset, chat=chat, host=host, port=port, data=data).config
    who = load_assistant(assistant)
    anyio.run(_serve, loaded, who, backend_options={"use_uvloop": find_spec("uvloop") is not None})


async def _serve(config: "Config", assistant: "Assistant | None") -> None:
    import anyio

    from vivavoce.memory import keep
    from vivavoce.runtime import Runtime
    from vivavoce.tools.registry import open_tools
    from vivavoce.web.app import Web
    from vivavoce.web.server import listen, serving
    from vivavoce.weights.store import every_tenth

    progress = every_tenth(_print)
    async with open_tools(config.tools, config.limits) as tools:
        runtime = Runtime(config, assistant=assistant, tools=tools, on_status=_print, on_progress=progress)
        async with serving(Web(runtime), listen(config.server.host, config.server.port)) as url:
            _print(f"Listening on {url}. Loading the models.")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel_on_signal, tasks.cancel_scope)
                await runtime.open()
                keep()
                _print(f"Ready. {runtime.description}")
                _print(f"Open {url} and talk, or connect a Realtime client to {url}/v1 (Ctrl-C ends).")
            _print("Goodbye.")
        await runtime.close()


def _print(sentence: str) -> None:
    print(sentence, flush=True)
