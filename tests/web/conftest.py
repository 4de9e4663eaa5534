"""A real server on a free port of this machine, with the stage's models."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from vivavoce.config.schema import Config
from vivavoce.runtime import Runtime
from vivavoce.session.call import Recall
from vivavoce.session.switchboard import ListenerFactory
from vivavoce.testing.simulation import Simulation
from vivavoce.tools.types import Assistant
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving

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
