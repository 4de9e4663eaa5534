"""A real server on a free port of this machine, with the stage's models."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page

from vivavoce.config.schema import Config
from vivavoce.runtime import Runtime
from vivavoce.session.call import Recall
from vivavoce.session.switchboard import ListenerFactory
from vivavoce.testing.simulation import Simulation
from vivavoce.tools.types import Assistant
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving
from web.browser import Open, a_runtime, browsing, microphone

Site = Callable[..., AbstractAsyncContextManager[str]]


@asynccontextmanager
async def open_site(
    simulation: Simulation | None = None,
    *,
    furnished: bool = True,
    listeners: Sequence[ListenerFactory] = (),
    recall: Recall | None = None,
    assistant: Assistant | None = None,
    **tables: object,
) -> AsyncIterator[str]:
    """Serve with these tables of the configuration; give the URL."""
    slots = {role: {"provider": "scripted"} for role in ("turn", "transcriber", "chat", "synthesizer")}
    session = {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}}
    config = Config(**{**slots, "session": session, **tables})  # type: ignore[arg-type]
    runtime = Runtime(config, assistant=assistant, listeners=listeners, recall=recall)
    if furnished:
        await runtime.use_providers(
            (simulation or Simulation(chat_delay=0, transcriber_delay=0, synthesizer_delay=0)).engine.providers
        )
    async with serving(Web(runtime), listen("127.0.0.1", 0)) as url:
        yield url


@pytest.fixture
def site() -> Site:
    return open_site


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    @asynccontextmanager
    async def open_page(
        *heard: float | str,
        runtime: Runtime | None = None,
        refused: bool = False,
        chosen: Mapping[str, object] | None = None,
    ) -> AsyncIterator[Page]:
        if runtime is None:
            runtime = a_runtime()
            await runtime.open()
        flags = [] if refused else microphone(tmp_path / "mic.wav", *heard)
        async with serving(Web(runtime), listen("127.0.0.1", 0)) as url, browsing(url, flags) as page:
            if chosen:
                kept = json.dumps(chosen)
                await page.evaluate("kept => localStorage.setItem('vivavoce settings', kept)", kept)
                await page.reload()
            yield page
        await runtime.close()

    return open_page
