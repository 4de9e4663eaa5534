"""What somebody who has signed in chose on the page, for all her browsers: `/v1/page-settings`."""

from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vivavoce.limits import Limits
from vivavoce.web.errors import HttpError, invalid_request
from vivavoce.web.requests import read_bytes
from vivavoce.web.security.private_files import write_private

BODY_BYTES = 16 * 1024
Value = str | int | float | bool


class PageSettingsEndpoint:
    """The endpoints. A person's settings are a file in `folder`, and mean something to the page only."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._one = anyio.CapacityLimiter(1)

    async def read(self, request: Request) -> Response:
        """Return the settings; an empty object if there are none yet. Raises `HttpError` for who is nobody."""
        path = anyio.Path(self._path(request))
        content = await path.read_bytes() if await path.is_file() else b"{}"
        return Response(content, media_type="application/json")

    async def write(self, request: Request) -> Response:
        """Replace the settings. Raises `HttpError`."""
        path = self._path(request)
        body = await read_bytes(request, self._limits, "session_bytes", BODY_BYTES)
        try:
            settings = msgspec.json.decode(body, type=dict[str, Value])
        except (msgspec.MsgspecError, RecursionError) as error:
            raise invalid_request(None, "The settings are an object of texts, numbers and booleans.") from error
        await anyio.to_thread.run_sync(write_private, path, msgspec.json.encode(settings), limiter=self._one)
        return Response(status_code=204)

    def _path(self, request: Request) -> Path:
        person: str | None = getattr(request.state, "person", None)
        if person is None:
            message = "Only who has signed in by the page has settings here; others are kept in the browser."
            raise HttpError(404, message, code="not_signed_in")
        return self._folder / f"{person}.json"
