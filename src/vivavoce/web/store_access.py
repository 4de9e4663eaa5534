"""The store, as HTTP may ask it: a few questions at once, for a limited time, with errors for clients."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio
from starlette.requests import Request

from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.store.database import Database
from vivavoce.store.pages import find_id
from vivavoce.store.recorder import Recorder
from vivavoce.web.errors import HttpError
from vivavoce.web.requests import identity_of

T = TypeVar("T")

ID_CHARS = 80
"""characters of an unknown id that an error repeats"""


class StoreAccess:
    """Asks the recorder's database, `limits.history_requests` questions at once: the recorder gets its turn."""

    def __init__(self, recorder: Recorder, limits: Limits) -> None:
        self.recorder, self.limits = recorder, limits
        self._places = anyio.Semaphore(limits.history_requests)

    async def ask(self, question: Callable[[Database], Awaitable[T]]) -> T:
        """Return what the database answers. Raises `HttpError` (503) if it does not, in time."""
        recorder, seconds = self.recorder, self.limits.history_seconds
        if recorder.problem and not recorder.is_open:
            raise self.unavailable(recorder.problem)
        try:
            with anyio.fail_after(seconds):
                await recorder.wait_open()
                async with self._places:
                    return await question(recorder.database)
        except TimeoutError as error:
            late = f"The database did not answer within {seconds:g} seconds (limits.history_seconds)"
            message = f"{late}; ask for less, or try again in a moment."
            raise HttpError(503, message, code="store_busy", retry=True) from error
        except ProviderError as error:
            raise self.unavailable(error.message) from error

    async def find_id(self, name: str, identity: str | None) -> str:
        """Return the id of the conversation that has it, or whose session does. Raises `HttpError`.

        With an `identity`, conversations of others are as if they were not there.
        """
        found = await self.ask(partial(find_id, name=name, identity=identity))
        if found is None:
            shown = name if len(name) <= ID_CHARS else f"{name[:ID_CHARS]}…"
            message = f"There is no conversation {shown!r}; GET /v1/history lists those that there are."
            raise HttpError(404, message, code="conversation_not_found", param="id")
        return found

    async def requested_id(self, request: Request) -> str:
        """Return the id of the conversation that a request's path names. Raises `HttpError`."""
        return await self.find_id(str(request.path_params["id"]), identity_of(request))

    def unavailable(self, problem: str) -> HttpError:
        """Return the error for a store that fails; where it lies is no client's business."""
        where = self.recorder.database.about
        problem = problem.removeprefix(f"{where}: ").replace(where, "the database").rstrip(".")
        message = f"Stored conversations are not available: {problem}. Try again in a moment."
        return HttpError(503, message, code="store_unavailable", retry=True)
