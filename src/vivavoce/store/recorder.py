"""The recorder: writes conversations down while they happen.

A listener writes each row into the journal, in one system call, before the event reaches the client. A task
puts what is in the journal into the database, several rows at once. Nobody waits for the database.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from vivavoce.backoff import backoff
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.limits import Limits
from vivavoce.session.call import Caller, Recalled, Storing, least
from vivavoce.session.middleware import Listener, ObservedEvent
from vivavoce.store.conversation_rows import ConversationRows, PricedModel, Redact
from vivavoce.store.database import Database
from vivavoce.store.entries import Entry, finish, refold, store_left, write
from vivavoce.store.files import local_path
from vivavoce.store.folding import fold
from vivavoce.store.history import History, read_history
from vivavoce.store.journal import Journal
from vivavoce.store.recordings import WAITING_BYTES, RecordingWriter
from vivavoce.store.retention import Retention
from vivavoce.store.spool import Spool

log = logging.getLogger(__name__)

GATHER_SECONDS = 1.0
"""seconds for which rows are gathered into one transaction"""
RETRY_SECONDS, PUT_SECONDS = 60, 600
"""the longest wait until a database that failed, and a store of recordings, is tried again"""
CLOSE_SECONDS = 5
"""seconds that the last rows and recordings may take when the server stops; then the next one stores them"""
SHARES = {"events": 0.5, "gaps": 1.1, "conversations": 1.1}
"""shares of the journal that rows may fill: the event log leaves room for words, and these for what was lost"""

_SAID = {
    "rows": ("Conversations go on, but are not stored", "Conversations are stored again."),
    "journal": (
        "A server that is killed loses the last words",
        "A server that is killed loses no words again.",
    ),
    "sound": ("Conversations go on, but are not recorded", "Conversations are recorded again."),
    "files": ("Recordings wait on this machine", "Recordings are where they belong again."),
}


class Recorder:
    """Writes the conversations of this process into a database, by way of a journal in a folder.

    `events` is whether the event log is kept; `redact` is applied to all words before they are written.
    `recordings` is a folder, or the URL of one that fsspec knows, for the sound; without it none is kept.
    Conversations are deleted `keep_days` after they have ended, and the oldest when all take more than
    `keep_bytes`, where these are not 0. `on_status` receives sentences about what fails, and works again.
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
        keep_bytes: int = 0,
        on_status: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.engine = ""
        self.models: Mapping[str, PricedModel] = {}
        """by role: what answers, as it is written down"""
        self.writing = set[str]()
        """ids of the conversations that are going on, or whose recording is not finished"""
        self.store: Storing = "all"
        """what may be written down of any conversation"""
        self._problems: dict[str, str] = {}
        """what does not work at the moment, one of `_SAID`, and why"""
        self._database, self._folder = database, folder
        self._journal = Journal(folder, journal_bytes)
        self._events, self._redact, self._on_status = events, redact, on_status
        self._recordings, self._limits = recordings, limits or Limits()
        if recordings:
            _prepare_recordings(recordings)
        self._spool = Spool(folder, database, self._on_put)
        self._retention = Retention(
            database, spool=folder, folder=recordings, days=keep_days, max_bytes=keep_bytes, on_status=on_status
        )
        self._ended: list[tuple[ConversationRows, float]] = []
        """conversations whose recording is to be closed, and when they ended"""
        self._over: anyio.Event | None = None
        """set when there is one more of these"""
        self._number, self._applied, self._encoder = 0, 0, msgspec.json.Encoder()
        self._live: dict[str, ConversationRows] = {}
        """by id: the conversations in progress"""
        self._work: anyio.Event | None = None
        self._to_put, self._has_closed = anyio.Event(), False
        self._stopped, self._opened = anyio.Event(), anyio.Event()
        self._hurried, self._stored = anyio.Event(), anyio.Event()
        self._closed, self._drained = anyio.Event(), anyio.Event()

    @property
    def problem(self) -> str | None:
        """Why nothing gets into the database at the moment; None if it does."""
        return self._problems.get("rows")

    @property
    def database(self) -> Database:
        """The database, for whoever reads or deletes; it can be used once `is_open`."""
        return self._database

    @property
    def spool(self) -> Path:
        """The folder where recordings wait until they are put elsewhere."""
        return self._folder

    @property
    def is_open(self) -> bool:
        """Whether the database was opened, so that its tables are there."""
        return self._opened.is_set()

    async def wait_open(self) -> None:
        """Wait until the database was opened."""
        await self._opened.wait()

    def listen(self, caller: Caller) -> Listener:
        """Return the listener of a conversation (a `ListenerFactory`)."""
        store = least(self.store, caller.store)
        if store == "nothing":
            return _ignore
        self.writing.add(caller.id)
        rows = self._live[caller.id] = ConversationRows(
            caller,
            self.put,
            journal_id=self._journal.id,
            engine=self.engine,
            models=self.models,
            events=self._events,
            redact=self._redact,
            recording=self._open_recording(caller) if store == "all" else None,
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
        if not self._recordings:
            return None
        try:
            url = f"{self._recordings}/{caller.id}.ogg"
            waiting = WAITING_BYTES if caller.in_real_time else 4 * WAITING_BYTES  # then it comes at once
            live = caller.in_real_time
            return RecordingWriter(url, max_bytes=waiting, spool=self._folder, in_real_time=live)
        except Exception:  # a store of files may raise anything, and the conversation goes on
            log.exception("conversation %s is not recorded", caller.id)
            return None

    def _on_ended(self, rows: ConversationRows) -> None:
        self._live.pop(rows.id, None)
        self._ended.append((rows, anyio.current_time()))
        _set(self._over)

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
        await self._store_entries()
        self._drained.set()
        self._to_put.set()

    async def _store_entries(self) -> None:
        failures, is_open = 0, False
        while True:
            try:
                if not is_open:
                    await self._open()
                    is_open = True
                    self._opened.set()
                    self._to_put.set()
                while self._journal.pending:
                    entries = self._journal.read()
                    await write(self._database, self._journal.id, entries)
                    self._journal.forget(entries)
            except (ConfigError, ProviderError) as error:
                failures, is_open = failures + 1, False  # it may be another database when it is back
                self._report("rows", str(error))
                self._report_journal()
                with anyio.move_on_after(backoff(failures, first=1, longest=RETRY_SECONDS)):
                    await self._stopped.wait()
                    return
                continue
            self._report("rows", None)
            self._report_journal()
            failures, self._applied = 0, self._number
            self._stored.set()
            self._stored = anyio.Event()
            if self._has_closed:  # what is known of these is in the database now
                self._has_closed = False
                self._to_put.set()
            if self._closed.is_set():
                return
            self._work = anyio.Event()
            await self._work.wait()
            with anyio.move_on_after(GATHER_SECONDS):
                await self._hurried.wait()
            self._hurried = anyio.Event()

    async def close_recordings(self) -> None:
        """Finish the recordings of conversations that are over, beside one another; return after `stop`."""
        async with anyio.create_task_group() as closing:
            while not self._stopped.is_set() or self._ended:
                while self._ended:
                    closing.start_soon(self._close_recording, *self._ended.pop())
                self._over = anyio.Event()
                if not self._stopped.is_set():
                    await self._over.wait()
        self._closed.set()
        self._hurried.set()
        self._wake()

    async def _close_recording(self, rows: ConversationRows, at: float) -> None:
        if rows.recording:
            recorded = await asyncio.wrap_future(rows.recording.close(at))
            if rows.is_known:
                rows.on_recorded(recorded)
            else:  # it was over before it began
                rows.recording.path.unlink(missing_ok=True)
            self._report("sound", recorded.problem or None)
        self.writing.discard(rows.id)
        self._has_closed = True
        self._wake()

    async def put_recordings(self) -> None:
        """Put recordings where they belong, also those of a server that was killed; return after `stop`."""
        is_last = False
        while not is_last:
            with anyio.move_on_after(PUT_SECONDS):
                await self._to_put.wait()
            self._to_put, is_last = anyio.Event(), self._drained.is_set()
            if self._opened.is_set():
                self._report("files", await self._spool.put_all())

    def _on_put(self, conversation_id: str, url: str, problem: str | None) -> None:
        self.put("recordings", {"conversation_id": conversation_id, "url": url, "problem": problem})

    async def keep(self) -> None:
        """Delete what need not be kept, until cancelled."""
        await self._opened.wait()
        await self._retention.run()

    def stop(self) -> None:
        """Let `run` return when the database has everything."""
        self._stopped.set()
        _set(self._over)
        self._hurried.set()
        self._wake()

    async def close(self) -> None:
        """Close the database, and the journal, which stays if the database does not have all of it."""
        try:
            if not self._journal.pending and not self.problem:
                await finish(self._database, self._journal.id)
        except ProviderError as error:
            log.warning("the journal could not be finished: %s", error)
        finally:
            self._journal.close()
            await self._database.close()

    def _wake(self) -> None:
        _set(self._work)

    async def _open(self) -> None:
        await anyio.to_thread.run_sync(fold, "words")  # it reads its word lists when it is first used
        await self._database.open()
        await refold(self._database)
        await store_left(self._database, self._folder)

    def on_bug(self) -> None:
        """Tell that nothing is stored any more because of a bug, which is logged."""
        self._report("rows", "an internal error, which is in the log; start the server again.")

    def _report_journal(self) -> None:
        self._report("journal", None if self._journal.on_disk else f"{self._folder} cannot be written.")

    def _report(self, what: str, problem: str | None) -> None:
        """Tell the owner what does not work, and when it works again; of sound, whose reasons differ, once."""
        before = self._problems.get(what)
        if problem == before or (problem and before and what != "rows"):
            return
        if problem:
            self._problems[what] = problem
        else:
            del self._problems[what]
        fails, works = _SAID[what]
        sentence = f"{fails}: {problem}" if problem else works
        log.log(logging.ERROR if problem else logging.INFO, "%s", sentence)
        self._on_status(sentence)


def _ignore(observed: ObservedEvent) -> None:
    """Observe a conversation of which nothing is written down."""


def _set(event: anyio.Event | None) -> None:
    if event:
        event.set()


def _prepare_recordings(url: str) -> None:
    """Import what recordings need, before a conversation waits for that. Raises `ConfigError` for a bad URL."""
    import av  # noqa: F401
    import numpy as np  # noqa: F401

    try:
        local_path(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"[store] recordings_url {url!r}: {error}") from error


@asynccontextmanager
async def recording(recorder: Recorder) -> AsyncIterator[Recorder]:
    """Run a recorder within the block; when it is left, its last rows and recordings have `CLOSE_SECONDS`."""
    parts = [recorder.run, recorder.close_recordings, recorder.put_recordings]
    unfinished = len(parts)
    finished = anyio.Event()

    async def run(part: Callable[[], Awaitable[None]]) -> None:
        nonlocal unfinished
        try:
            await part()
        except Exception:  # a bug here ends no conversation; the journal stays for the next start
            log.exception("conversations are not stored any more")
            recorder.on_bug()
        unfinished -= 1
        if not unfinished:
            finished.set()

    try:
        async with anyio.create_task_group() as tasks:
            for part in parts:
                tasks.start_soon(run, part)
            tasks.start_soon(recorder.keep)
            try:
                yield recorder
            finally:
                recorder.stop()
                with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                    await finished.wait()
                tasks.cancel_scope.cancel()
    finally:  # nobody uses the journal and the database any more
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await recorder.close()
