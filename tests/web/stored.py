"""A server with stored conversations, for tests of what is asked about them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

from store.played import PARIS, play, recorder
from vivavoce.config.schema import Config
from vivavoce.runtime import Runtime
from vivavoce.store.recorder import Recorder, recording
from vivavoce.testing.simulation import Step
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving
from web.asking import asking

SCRIPTED = {role: {"provider": "scripted"} for role in ("turn", "transcriber", "chat", "synthesizer")}


async def store(url: str, folder: Path, *steps: Step, until: float = 4, **simulation: Any) -> None:
    """Play a conversation, and store it with its sound."""
    played = recorder(url, folder, recordings=str(folder / "recordings"))
    play(played, *(steps or (PARIS,)), until=until, **simulation)
    async with recording(played):
        pass
    assert played.problem is None


@asynccontextmanager
async def serving_history(
    url: str,
    folder: Path,
    *,
    recorded: Recorder | None = None,
    headers: Any = None,
    talks: bool = False,
    **tables: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve what is stored; give a client. One may talk there too, if it `talks`."""
    kept = recorded or recorder(url, folder)
    runtime = Runtime(Config(**{**SCRIPTED, **tables}), listeners=[kept.listen], recall=kept.recall)
    if talks:
        await runtime.open()
    async with (
        recording(kept),
        serving(Web(runtime, kept), listen("127.0.0.1", 0)) as address,
        asking(address, headers=headers) as client,
    ):
        with anyio.fail_after(30):
            while not (kept.is_open or kept.problem):  # noqa: ASYNC110  # the database is opened in threads
                await anyio.sleep(0.01)
        yield client
