"""Stored conversations as files: JSON, Markdown, subtitles, and the whole recording as WAV."""

from collections.abc import Sequence
from functools import partial

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.store.export import to_json, to_markdown, to_srt
from vivavoce.store.playback import count_samples, find_file
from vivavoce.store.queries import Record, find_conversation
from vivavoce.store.statistics import costs_of
from vivavoce.web.conditional import etag_of, not_modified
from vivavoce.web.endpoints.history import conversation
from vivavoce.web.endpoints.history_schema import ExportQuery
from vivavoce.web.endpoints.history_sound import HistorySoundEndpoint, file_name, wav_turn
from vivavoce.web.store_access import StoreAccess

_TYPES = {"json": "application/json", "markdown": "text/markdown", "srt": "application/x-subrip"}
_ENDINGS = {"json": "json", "markdown": "md", "srt": "srt", "wav": "wav"}


class HistoryExportEndpoint:
    """`GET /v1/history/{id}/export`."""

    def __init__(self, store: StoreAccess, sound: HistorySoundEndpoint) -> None:
        self._store, self._sound = store, sound

    async def export(self, request: Request, query: ExportQuery) -> Response:
        """Answer with a conversation as a file."""
        conversation_id = await self._store.requested_id(request)
        if query.format == "wav":
            return await self._wav(request, conversation_id)
        record = await self._store.ask(partial(find_conversation, conversation_id=conversation_id))
        asking = partial(costs_of, ids=[conversation_id])
        costs = await self._store.ask(asking) if query.format == "json" else []
        body = await anyio.to_thread.run_sync(_written, record, costs, query.format)
        etag = etag_of(body)
        name = f"{record['started']:%Y-%m-%d-%H%M}-{file_name(conversation_id)}.{_ENDINGS[query.format]}"
        headers = {"etag": etag, "content-disposition": f'attachment; filename="{name}"'}
        return not_modified(request, etag) or Response(body, headers=headers, media_type=_TYPES[query.format])

    async def _wav(self, request: Request, conversation_id: str) -> Response:
        recording = await self._sound.recording(conversation_id)
        url, seconds = recording["url"], recording["seconds"]
        file = await self._sound.in_thread(partial(find_file, url))
        samples = (
            await self._sound.in_thread(partial(count_samples, url))
            if seconds is None
            else round(seconds * OUTPUT_RATE)
        )
        sound = wav_turn(file, file_name(conversation_id), None, 0, samples)
        return self._sound.respond(request, sound, "attachment")


def _written(record: Record, costs: Sequence[Record], kind: str) -> bytes:
    match kind:
        case "markdown":
            return to_markdown(record).encode()
        case "srt":
            return to_srt(record).encode()
        case _:
            return to_json(conversation(record, costs)).encode()
