"""The recorder: writes conversations down while they happen.

A listener writes each row into the journal, in one system call, before the event reaches the client. A task
puts what is in the journal into the database, several rows at once. Nobody waits for the database.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from vivavoce.backoff import backoff
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.limits import Limits
from vivavoce.session.call import Caller, Recalled
from vivavoce.store.conversation_rows import ConversationRows, PricedModel, Redact
from vivavoce.store.database import Database
from vivavoce.store.entries import Entry, finish, refold, write
from vivavoce.store.folding import fold
from vivavoce.store.history import History, read_history
from vivavoce.store.journal import Journal, left_journals
from vivavoce.store.recordings import WAITING_BYTES, RecordingWriter
from vivavoce.store.retention import keep

log = logging.getLogger(__name__)

GATHER_SECONDS = 1.0
"""seconds for which rows are gathered into one transaction"""
RETRY_SECONDS = 60
"""the longest wait until a database that failed is tried again"""
CLOSE_SECONDS = 5
"""seconds that the last rows may take when the server stops; then the next one finds them in the journal"""
SHARES = {"events": 0.5, "gaps": 1.1, "conversations": 1.1}
"""shares of the journal that rows may fill: the event log leaves room for words, and these for what was lost"""


class Recorder:
    """Writes the conversations of this process into a database, by way of a journal in a folder.

    `events` is whether the event log is kept; `redact` is applied to all words before they are written.
    `recordings` is a folder, or the URL of one that fsspec knows, for the sound; without it none is kept.
    Conversations are deleted `keep_days` after they have ended, if that is not 0. `on_status` receives
    sentences about a database that fails, and that works again.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        journal_bytes: int,
        limits: Limits | None = None,
        events: bool = True,
        redact: Redact | None = None,
        recordings: str | None = None,
        keep_days: float = 0,
        on_status: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.engine = ""
        self.models: Mapping[str, PricedModel] = {}
        """by role: what answers, as it is written down"""
        self.problem: str | None = None
        """why nothing gets into the database at the moment"""
        self.writing = set[str]()
        """ids of the conversations that are going on, or whose recording is not finished"""
        self._database, self._folder = database, folder
        self._journal = Journal(folder, journal_bytes)
        self._events, self._redact, self._on_status = events, redact, on_status
        self._recordings, self._keep_days, self._limits = recordings, keep_days, limits or Limits()
        if recordings:
            _prepare_recordings(recordings)
        self._ended: list[tuple[ConversationRows, float]] = []
        """conversations whose recording is to be closed, and when they ended"""
        self._number, self._applied, self._encoder = 0, 0, msgspec.json.Encoder()
        self._live: dict[str, ConversationRows] = {}
        """by id: the conversations in progress"""
        self._work: anyio.Event | None = None
        self._stopped, self._opened = anyio.Event(), anyio.Event()
        self._hurried, self._stored = anyio.Event(), anyio.Event()

    @property
    def database(self) -> Database:
        """The database, for whoever reads or deletes; it can be used once `is_open`."""
        return self._database

    @property
    def is_open(self) -> bool:
        """Whether the database was opened, so that its tables are there."""
        return self._opened.is_set()

    async def wait_open(self) -> None:
        """Wait until the database was opened."""
        await self._opened.wait()

    def listen(self, caller: Caller) -> ConversationRows:
        """Return the listener of a conversation (a `ListenerFactory`)."""
        self.writing.add(caller.id)
        rows = self._live[caller.id] = ConversationRows(
            caller,
            self.put,
            journal_id=self._journal.id,
            engine=self.engine,
            models=self.models,
            events=self._events,
            redact=self._redact,
            recording=self._open_recording(caller),
            on_ended=self._on_ended,
        )
        return rows

    async def recall(self, caller: Caller) -> Recalled:
        """Return the conversation that a caller continues, with the last words of it (a `Recall`).

        Waits until the database has what this process has written so far. Raises `ProtocolError` if there is
        none that this caller may continue, `ProviderError` if the database fails.
        """
        await self._store_now()
        return self._continue(caller, await read_history(self._database, caller, self._limits))

    def _continue(self, caller: Caller, history: History) -> History:
        if rows := self._live.get(caller.id):
            rows.continue_from(history.id, history.positions)
        return history

    async def _store_now(self) -> None:
        await self._opened.wait()
        number = self._number
        while self._applied < number:
            self._hurried.set()
            await self._stored.wait()

    def _open_recording(self, caller: Caller) -> RecordingWriter | None:
        try:
            url = f"{self._recordings}/{caller.id}.ogg"
            if not self._recordings:
                return None
            waiting = WAITING_BYTES if caller.in_real_time else 4 * WAITING_BYTES  # then it comes at once
            live = caller.in_real_time
            return RecordingWriter(url, max_bytes=waiting, spool=self._folder, in_real_time=live)
        except Exception:  # a store of files may raise anything, and the conversation goes on
            log.exception("conversation %s is not recorded", caller.id)
            return None

    def _on_ended(self, rows: ConversationRows) -> None:
        self._live.pop(rows.id, None)
        self._ended.append((rows, anyio.current_time()))
        self._wake()

    async def _close_recordings(self) -> None:
        """Finish the recordings of conversations that are over; that takes a moment, in threads."""
        while self._ended:
            rows, at = self._ended.pop()
            if rows.recording:
                rows.on_recorded(await anyio.to_thread.run_sync(rows.recording.close, at))
            self.writing.discard(rows.id)

    def put(self, table: str, row: dict[str, object], new: bool = False) -> bool:
        """Write a row into the journal; return whether there was room (`limits.journal_bytes`)."""
        self._number += 1
        entry = self._encoder.encode(Entry(self._number, table, row, new)) + b"\n"
        self._wake()
        return self._journal.append(entry, share=SHARES.get(table, 1))

    async def run(self) -> None:
        """Put what is in the journal into the database; return after `stop`, when all is there or that fails.

        A database that fails is tried again, after up to `RETRY_SECONDS`.
        """
        failures, is_open = 0, False
        while True:
            try:
                if not is_open:
                    await self._open()
                    is_open = True
                    self._opened.set()
                await self._close_recordings()
                while self._journal.pending:
                    entries = self._journal.read()
                    await write(self._database, self._journal.id, entries)
                    self._journal.forget(entries)
            except (ConfigError, ProviderError) as error:
                failures += 1
                self._tell(str(error))
                with anyio.move_on_after(backoff(failures, first=1, longest=RETRY_SECONDS)):
                    await self._stopped.wait()
                    return
                continue
            self._tell(None)
            failures, self._applied = 0, self._number
            self._stored.set()
            self._stored = anyio.Event()
            if self._stopped.is_set():
                return
            self._work = anyio.Event()
            await self._work.wait()
            with anyio.move_on_after(GATHER_SECONDS):
                await self._hurried.wait()
            self._hurried = anyio.Event()

    async def keep(self) -> None:
        """Delete conversations when they are too old, until cancelled."""
        if self._keep_days:
            await self._opened.wait()
            await keep(self._database, self._keep_days)

    def stop(self) -> None:
        """Let `run` return when the database has everything."""
        self._stopped.set()
        self._hurried.set()
        self._wake()

    async def close(self) -> None:
        """Close the database, and the journal, which stays if the database does not have all of it."""
        if not self._journal.pending and not self.problem:
            await finish(self._database, self._journal.id)
        self._journal.close()
        await self._database.close()

    def _wake(self) -> None:
        if self._work:
            self._work.set()

    async def _open(self) -> None:
        await anyio.to_thread.run_sync(fold, "words")  # it reads its word lists when it is first used
        await self._database.open()
        await refold(self._database)
        for left in left_journals(self._folder):
            log.info("a server that was killed has left %d bytes; they are stored now", len(left.entries))
            await write(self._database, left.id, left.entries)
            left.done()
            await finish(self._database, left.id)

    def _tell(self, problem: str | None) -> None:
        if problem is None and not self._journal.on_disk:
            problem = f"{self._folder} cannot be written, so a server that is killed loses the last words."
        if problem == self.problem:
            return
        self.problem = problem
        sentence = (
            f"Conversations go on, but are not stored: {problem}"
            if problem
            else "Conversations are stored again."
        )
        log.log(logging.ERROR if problem else logging.INFO, "%s", sentence)
        self._on_status(sentence)


def _prepare_recordings(url: str) -> None:
    """Import what recordings need, before a conversation waits for that. Raises `ConfigError` for a bad URL."""
    import av  # noqa: F401
    import numpy as np  # noqa: F401
    from fsspec.core import url_to_fs

    try:
        url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"[store] recordings_url {url!r}: {error}") from error


@asynccontextmanager
async def recording(recorder: Recorder) -> AsyncIterator[Recorder]:
    """Run a recorder within the block; when it is left, its last rows have `CLOSE_SECONDS`."""
    async with anyio.create_task_group() as tasks:
        finished = anyio.Event()

        async def run() -> None:
            try:
                await recorder.run()
            except (
                Exception
            ):  # a bug in the recorder ends no conversation; the journal stays for the next start
                log.exception("conversations are not stored any more")
            finished.set()

        tasks.start_soon(run)
        tasks.start_soon(recorder.keep)
        try:
            yield recorder
        finally:
            recorder.stop()
            with anyio.CancelScope(shield=True):
                with anyio.move_on_after(CLOSE_SECONDS):
                    await finished.wait()
                tasks.cancel_scope.cancel()
                await recorder.close()
