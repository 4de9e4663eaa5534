"""Retention: what is older, or takes more, than its owner wants to keep is deleted, with its recording."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import anyio.to_thread
import sqlalchemy as sa

from vivavoce.dates import utc_now
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.store.database import Database
from vivavoce.store.files import FileInfo, abort_uploads, ask, files_in
from vivavoce.store.files import delete as delete_file
from vivavoce.store.pages import recordings_of
from vivavoce.store.queries import delete_conversations
from vivavoce.store.tables import conversations, recordings

log = logging.getLogger(__name__)

FIRST_SECONDS, KEEP_SECONDS = 60, 600
"""after the start, and then: how often it is looked what is too old, or too much"""
AT_ONCE = 50
"""conversations that are deleted in one transaction"""
PAUSE_SECONDS = 0.1
"""between two of these, so that others can write"""
FILL = 0.9
"""share of `keep_bytes` to which is deleted when they are exceeded, so that it is not exceeded again at once"""
PAGE = 500
"""recordings that are looked at between two other events"""
UPLOAD_DAYS = 1
"""days after which an upload that nobody has finished is aborted"""
OLDEST = datetime(2025, 1, 1, tzinfo=UTC)
"""Nothing is older. What is dated so was recorded by a machine whose clock was wrong, and may be of today."""


async def delete_with_recordings(database: Database, ids: Sequence[str], spool: Path | None = None) -> bool:
    """Delete conversations, first the files of their recordings; return what `Database.scrub` returns.

    `spool` is where recordings wait to be put elsewhere. Raises `ProviderError` if a file cannot be deleted:
    that conversation is kept, so that it can be tried again.
    """
    for start in range(0, len(ids), AT_ONCE):
        await delete(database, ids[start : start + AT_ONCE], spool)
    return await database.scrub()


async def delete(database: Database, ids: Sequence[str], spool: Path | None = None) -> None:
    """Delete conversations as `delete_with_recordings` does, in one transaction, but leave the scrubbing."""
    kept: dict[str, ProviderError] = {}
    for file in await recordings_of(database, ids):
        try:
            await ask(delete_file, file["url"], spool)
        except ProviderError as error:
            kept[file["conversation_id"]] = error
    await delete_conversations(database, [one for one in ids if one not in kept])
    for first in kept.values():
        problem = f"{len(kept)} conversations are kept, as their recordings cannot be deleted: {first.message}"
        raise ProviderError("store", problem, retryable=True) from first


async def unknown_recordings(database: Database, folder: str) -> Mapping[str, int]:
    """Return by URL the bytes of recordings in a folder that belong to no conversation of this database.

    Those of the last hour are left out, as their conversations may not be stored yet. Raises `ProviderError`.
    """
    before = utc_now() - timedelta(hours=1)
    files = {
        Path(name).stem: (f"{folder}/{name}", file.size)
        for name, file in (await ask(files_in, folder)).items()
        if file.changed and file.changed < before
    }
    ids = list(files)
    async with database.reading() as connection:
        for start in range(0, len(ids), PAGE):
            known = sa.select(conversations.c.id).where(conversations.c.id.in_(ids[start : start + PAGE]))
            for one in (await connection.execute(known)).scalars():
                del files[one]
    return dict(files.values())


class Retention:
    """Deletes what need not be kept: conversations that are too old, and the oldest when all take too much.

    `days` is how long after its end a conversation is kept, `max_bytes` what all may take, rows and sound; 0 is
    no limit. `spool` and `folder` are where recordings wait, and belong. `on_status` receives sentences about
    what was deleted, and what cannot be.
    """

    def __init__(
        self,
        database: Database,
        *,
        spool: Path,
        folder: str | None = None,
        days: float = 0,
        max_bytes: int = 0,
        on_status: Callable[[str], None] = lambda sentence: None,
        date: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database, self._spool, self._folder, self._date = database, spool, folder, date
        self._days, self._max_bytes, self._on_status = days, max_bytes, on_status
        self._problem: str | None = None
        self._is_scrubbed = True
        self._began, self._since = date(), _seconds()

    async def run(self) -> None:
        """Delete what need not be kept, again and again, until cancelled."""
        await anyio.sleep(FIRST_SECONDS)
        while True:
            try:
                await self.delete_all()
                self._problem = None
            except (ConfigError, ProviderError) as error:
                if self._problem != str(error):
                    self._report(f"What need not be kept is not deleted: {error}", logging.WARNING)
                self._problem = str(error)
            await anyio.sleep(KEEP_SECONDS)

    async def delete_all(self) -> int:
        """Delete what need not be kept; return how many conversations. Raises `ProviderError`."""
        count = await self.expire(self.now()) + await self.shrink()
        if not self._is_scrubbed:
            self._is_scrubbed = await self._database.scrub()
        await self._abort_uploads()
        return count

    def now(self) -> datetime:
        """Return the time; if the clock was set ahead since the start, only what has passed since then."""
        return min(self._date(), self._began + timedelta(seconds=_seconds() - self._since))

    async def expire(self, now: datetime) -> int:
        """Delete the conversations that are too old; return how many. Raises `ProviderError`."""
        before, count = now - timedelta(days=self._days), 0
        while self._days and (ids := await self._oldest(OLDEST, before)):
            await self._delete(ids)
            count += len(ids)
        if count:
            self._report(
                f"{count} conversations older than {self._days:g} days were deleted ([store] keep_days)."
            )
        return count

    async def shrink(self) -> int:
        """Delete the oldest conversations if all take too much; return how many. Raises `ProviderError`."""
        if not self._max_bytes:
            return 0
        sound = await self._sizes()
        taken = before = await self._taken(sound)
        goal, count = self._max_bytes * FILL if taken > self._max_bytes else self._max_bytes, 0
        while taken > goal and (ids := await self._oldest()):
            await self._delete(ids)
            count += len(ids)
            for one in ids:
                sound.pop(one, None)
            taken = await self._taken(sound)
        if count:
            self._report(
                f"The {count} oldest conversations were deleted: all took {_megabytes(before)}, more than "
                f"[store] keep_bytes, {_megabytes(self._max_bytes)}; now they take {_megabytes(taken)}."
            )
        return count

    async def _oldest(self, since: datetime | None = None, before: datetime | None = None) -> Sequence[str]:
        """Return some of the conversations that are over, those first that ended first."""
        ended = conversations.c.ended
        found = sa.select(conversations.c.id).where(ended.is_not(None)).order_by(ended).limit(AT_ONCE)
        found = found.where(ended >= since) if since else found
        found = found.where(ended < before) if before else found
        async with self._database.reading() as connection:
            return (await connection.execute(found)).scalars().all()

    async def _delete(self, ids: Sequence[str]) -> None:
        self._is_scrubbed = False
        await delete(self._database, ids, self._spool)
        await anyio.sleep(PAUSE_SECONDS)

    async def _taken(self, sound: Mapping[str, int]) -> int:
        all_sound = sum(sound.values())
        return all_sound + await self._database.used_bytes(self._max_bytes - all_sound)

    async def _sizes(self) -> dict[str, int]:
        """Return the bytes of the sound of each conversation that has any. Others' files do not count."""
        own, rows = sa.select(recordings.c.conversation_id, recordings.c.url), list[tuple[str, str]]()
        async with self._database.reading() as connection:
            async for some in (await connection.stream(own.execution_options(yield_per=PAGE))).partitions():
                rows += [(one.conversation_id, one.url) for one in some]
        folders = {url.rpartition("/")[0] for _, url in rows}
        files = {folder: await ask(files_in, folder) for folder in (*folders, str(self._spool))}
        return await anyio.to_thread.run_sync(_sizes, rows, files, str(self._spool))

    async def _abort_uploads(self) -> None:
        if self._folder:
            before = self.now() - timedelta(days=UPLOAD_DAYS)
            if count := await ask(abort_uploads, self._folder, before):
                log.info("%d uploads into %s that were never finished were aborted", count, self._folder)

    def _report(self, sentence: str, level: int = logging.INFO) -> None:
        log.log(level, "%s", sentence)
        self._on_status(sentence)


def _sizes(
    rows: Sequence[tuple[str, str]], files: Mapping[str, Mapping[str, FileInfo]], spool: str
) -> dict[str, int]:
    """Return the bytes of the sound of conversations, which is where it belongs, or in the spool."""
    found: dict[str, int] = {}
    for conversation_id, url in rows:
        folder, _, name = url.rpartition("/")
        sizes = [files[one][name].size for one in (folder, spool) if name in files[one]]
        found[conversation_id] = found.get(conversation_id, 0) + sum(sizes)
    return found


def _seconds() -> float:
    """Return the seconds of a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
