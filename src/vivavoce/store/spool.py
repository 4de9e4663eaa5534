"""The spool: a folder of this machine in which recordings wait until they are put into a store elsewhere."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import anyio
import sqlalchemy as sa

from vivavoce.dates import utc_now
from vivavoce.errors import ProviderError
from vivavoce.store.database import Database
from vivavoce.store.files import AT_ONCE, NAME, ask, delete, moving, put, remove_old
from vivavoce.store.tables import recordings

UNKNOWN_SECONDS = 600
"""age from which a file that belongs to no stored conversation is removed"""
NOT_PUT = "The recording was not put yet, and waits in"
"""how the `problem` of a recording begins whose file is still in the spool"""

OnPut = Callable[[str, str, str | None], None]
"""Receives a conversation's id, the URL of its recording, and why it could not be put, or None if it was."""


class Spool:
    """The recordings in a folder that belong elsewhere. `on_put` is told what became of each."""

    def __init__(self, folder: Path, database: Database, on_put: OnPut) -> None:
        self._folder, self._database, self._on_put = folder, database, on_put

    async def put_all(self) -> str | None:
        """Put the files that nobody writes where they belong; return why that failed, if it did.

        After a failure no other is tried. What belongs to no conversation is removed.
        """
        waiting = sorted(path for path in self._folder.glob("*.*") if NAME.fullmatch(path.name))
        problems: list[str] = []

        async def put_some() -> None:
            while waiting and not problems:
                path = waiting.pop()
                try:
                    with moving(path) as is_ours:
                        if is_ours:
                            await self._put(path)
                except ProviderError as error:
                    problems.append(error.message)
                except OSError as error:
                    problems.append(str(error))

        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(put_some)
        return problems[0] if problems else None

    async def _put(self, path: Path) -> None:
        found = await self._find(path)
        if found is None:
            await ask(remove_old, path, utc_now() - timedelta(seconds=UNKNOWN_SECONDS))
            return
        url, problem = found
        may_change = not problem or problem.startswith(NOT_PUT)
        try:
            await ask(put, path, url)
        except ProviderError as error:
            if may_change and problem != (now := f"{NOT_PUT} {path}: {error.message}"):
                self._on_put(path.stem, url, now)
            raise
        if await self._find(path) is None:  # it was deleted meanwhile
            await ask(delete, url)
        elif problem and may_change:
            self._on_put(path.stem, url, None)

    async def _find(self, path: Path) -> tuple[str, str | None] | None:
        """Return the URL and the problem of the recording whose file this is, if it is stored."""
        own = sa.select(recordings.c.url, recordings.c.problem).where(recordings.c.conversation_id == path.stem)
        async with self._database.reading() as connection:
            rows = (await connection.execute(own)).all()
        return next(((url, problem) for url, problem in rows if url.endswith(f"/{path.name}")), None)
