"""The web application: the Realtime door, the page, and a few questions by HTTP."""

from contextlib import AbstractAsyncContextManager
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from vivavoce.assembly import MODEL, House
from vivavoce.line import Line
from vivavoce.switchboard import Caller
from vivavoce.transports.realtime import Realtime
from vivavoce.web.answers import HANDLERS, RETRY_AFTER, not_ready
from vivavoce.web.security import Guard, SafeHeaders
from vivavoce.web.speech import Audio

__all__ = ["Web"]

STATIC = Path(str(files("vivavoce.web") / "static"))


class Web:
    """Everything that a house answers on the web. `application` is for an ASGI server."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.realtime = Realtime(self._connect, house.config.limits)
        audio = Audio(house)
        self.application = Starlette(
            routes=[
                Route("/", self._page),
                Mount("/static", StaticFiles(directory=STATIC)),
                WebSocketRoute("/v1/realtime", self.realtime),
                Route("/v1/audio/transcriptions", audio.transcriptions, methods=["POST"]),
                Route("/v1/audio/speech", audio.speech, methods=["POST"]),
                Route("/v1/models", self._models),
                Route("/v1/status", self._status),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
            ],
            middleware=[
                Middleware(SafeHeaders),
                Middleware(Guard, server=house.config.server, keys=house.config.secrets),
            ],
            exception_handlers=HANDLERS,
        )

    async def hang_up(self) -> None:
        """Tell every conversation that the server goes away; return when all have ended."""
        await self.realtime.hang_up()

    def _connect(self, address: str, model: str | None) -> AbstractAsyncContextManager[Line]:
        if not self.house.ready:
            raise not_ready()
        return self.house.switchboard.connect(Caller("realtime", address, model))

    async def _page(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _healthz(self, _: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _readyz(self, _: Request) -> Response:
        """Say 200 when all models are warm; until then 503, and how far each is."""
        states = dict(self.house.states)
        if self.house.ready:
            return JSONResponse({"status": "ready", "models": states})
        return JSONResponse({"status": "loading", "models": states}, 503, RETRY_AFTER)

    async def _status(self, _: Request) -> Response:
        """Say, for the page, who speaks and whether they may be wrong."""
        choices = self.house.choices
        return JSONResponse(
            {
                "ready": self.house.ready,
                "preset": self.house.config.preset,
                "providers": {role: choice.about for role, choice in choices.items()},
                "introduction": self.house.introduction,
                "key_needed": bool(self.house.config.secrets),
                "conversations": len(self.house.switchboard.callers) if self.house.ready else 0,
            }
        )

    async def _models(self, _: Request) -> Response:
        """List ourselves and who does the work, as OpenAI lists models."""
        names = [MODEL, *(choice.plugin.name for choice in self.house.choices.values())]
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": MODEL} for name in dict.fromkeys(names)
        ]
        return JSONResponse({"object": "list", "data": models})
