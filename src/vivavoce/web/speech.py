"""Recordings written down and texts read out, by HTTP, as OpenAI's audio endpoints do."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vivavoce.assembly import House

__all__ = ["Audio"]


class Audio:
    def __init__(self, house: House) -> None:
        self._house = house

    async def transcriptions(self, request: Request) -> Response:
        return JSONResponse({})

    async def speech(self, request: Request) -> Response:
        return JSONResponse({})
