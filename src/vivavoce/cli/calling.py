"""How the commands find somebody to talk with: a server, or models in this very process."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vivavoce.errors import ConfigError

if TYPE_CHECKING:
    from vivavoce.config.schema import Config
    from vivavoce.session.line import Line
    from vivavoce.tools.types import Assistant

__all__ = ["key_from", "own_line", "tell"]


def tell(sentence: str) -> None:
    """Say something beside the command's output."""
    print(sentence, file=sys.stderr, flush=True)


def key_from(variable: str | None) -> str | None:
    """Return the key that a variable of the environment holds. Raises `ConfigError` if it holds none."""
    if variable is None:
        return None
    if key := os.environ.get(variable):
        return key
    raise ConfigError(f"The environment holds no {variable}; write: export {variable}=the-key")


@asynccontextmanager
async def own_line(
    config: "Config", transport: str, assistant: "Assistant | None" = None
) -> AsyncIterator["Line"]:
    """Load the models into this process, saying so, and give a line to them, or to an assistant."""
    from vivavoce.runtime import open_runtime
    from vivavoce.session.switchboard import Caller
    from vivavoce.weights.store import every_tenth

    async with open_runtime(
        config, assistant=assistant, on_status=tell, on_progress=every_tenth(tell)
    ) as runtime:
        tell(runtime.description)
        async with runtime.switchboard.connect(Caller(transport)) as line:
            yield line
