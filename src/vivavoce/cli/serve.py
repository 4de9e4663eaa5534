"""`viva serve`: listen, load the models, hold conversations until told to stop."""

import signal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.assistants import Who, assistant_at
from vivavoce.cli.options import Chat, File, Preset, configuration

if TYPE_CHECKING:
    from anyio import CancelScope

    from vivavoce.config.loading import Loaded
    from vivavoce.tools.types import Assistant

__all__ = ["serve"]


def serve(
    assistant: Who = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; beyond this machine, set a key.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for what is written down.")] = None,
    config: File = None,
    preset: Preset = None,
    chat: Chat = None,
) -> None:
    """Hold conversations with everyone who calls."""
    import anyio

    loaded = configuration(file=config, preset=preset, chat=chat, host=host, port=port, data=data)
    who = assistant_at(assistant)
    anyio.run(_serve, loaded, who, backend_options={"use_uvloop": find_spec("uvloop") is not None})


async def _serve(loaded: "Loaded", assistant: "Assistant | None") -> None:
    import anyio

    from vivavoce.runtime import Runtime
    from vivavoce.tools.registry import opened
    from vivavoce.web.app import Web
    from vivavoce.web.server import listen, serving
    from vivavoce.weights.store import every_tenth

    config, server = loaded.config, loaded.config.server
    async with opened(config.tools, config.limits) as tools:
        runtime = Runtime(
            config, assistant=assistant, tools=tools, on_status=_tell, on_progress=every_tenth(_tell)
        )
        async with serving(Web(runtime), listen(server.host, server.port)) as url:
            _tell(f"Listening on {url}. Loading the models.")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_wait_for_signal, tasks.cancel_scope)
                await runtime.open()
                _tell(f"Ready. {runtime.description}")
                _tell(f"Open {url} and talk, or connect a Realtime client to {url}/v1 (Ctrl-C ends).")
        await runtime.close()


async def _wait_for_signal(serving: "CancelScope") -> None:
    import anyio

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            _tell("Goodbye.")
            serving.cancel()
            return


def _tell(sentence: str) -> None:
    print(sentence, flush=True)
