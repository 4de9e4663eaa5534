"""Retention: what is older than its owner wants to keep is deleted, with its recording."""

import logging
from datetime import timedelta

import anyio
import anyio.to_thread
import sqlalchemy as sa

from vivavoce.dates import utc_now
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.store.database import Database
from vivavoce.store.queries import delete_conversations
from vivavoce.store.recordings import delete as delete_recording
from vivavoce.store.tables import conversations

log = logging.getLogger(__name__)

HOUR = 3600
AT_ONCE = 100
"""conversations that are deleted in one transaction"""


async def delete_with_recordings(database: Database, ids: list[str]) -> bool:
    """Delete conversations and the files of their recordings; return what `Database.scrub` returns."""
    for recording in await delete_conversations(database, ids):
        await anyio.to_thread.run_sync(delete_recording, recording["url"])
    return await database.scrub()


async def expire(database: Database, days: float) -> int:
    """Delete the conversations that ended more than `days` days ago; return how many."""
    before = utc_now() - timedelta(days=days)
    old = sa.select(conversations.c.id).where(conversations.c.ended < before).limit(AT_ONCE)
    count = 0
    while True:
        async with database.reading() as connection:
            ids = list((await connection.execute(old)).scalars())
        if not ids:
            return count
        await delete_with_recordings(database, ids)
        count += len(ids)


async def keep(database: Database, days: float) -> None:
    """Expire conversations, now and every hour, until cancelled."""
    while True:
        try:
            if count := await expire(database, days):
                log.info("%d conversations older than %g days were deleted ([store] keep_days)", count, days)
        except (ConfigError, ProviderError, OSError) as error:
            log.warning("conversations older than %g days are not deleted: %s", days, error)
        await anyio.sleep(HOUR)
