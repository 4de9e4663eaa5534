"""The web application: the Realtime door, the page, and a few questions by HTTP."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from vivavoce.runtime import MODEL, Runtime
from vivavoce.session.line import Line
from vivavoce.session.switchboard import Caller
from vivavoce.transports.base import Transport
from vivavoce.transports.websocket import PATHS, WebSocketTransport
from vivavoce.web.admission import Admission
from vivavoce.web.endpoints.call_control import CallControlEndpoint
from vivavoce.web.endpoints.calls import CallsEndpoint
from vivavoce.web.endpoints.chat_completions import ChatCompletionsEndpoint
from vivavoce.web.endpoints.client_secrets import ClientSecretsEndpoint
from vivavoce.web.endpoints.speech import SpeechEndpoint
from vivavoce.web.endpoints.transcriptions import TranscriptionsEndpoint
from vivavoce.web.errors import HANDLERS, RETRY_AFTER, not_ready, ours
from vivavoce.web.security.client_secrets import ClientSecrets
from vivavoce.web.security.cors import Cors
from vivavoce.web.security.guard import Guard, SafeHeaders

__all__ = ["Web"]

Endpoint = Callable[[Request], Awaitable[Response]] | ASGIApp

STATIC = Path(str(files("vivavoce.web") / "static"))


class Web:
    """Everything that a house answers on the web. `application` is for an ASGI server."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.realtime = WebSocketTransport(self._connect, runtime.config.limits, self._join)
        self.calls = CallsEndpoint(runtime, self._connect)
        places = Admission(runtime)
        transcriptions, speaking = TranscriptionsEndpoint(runtime, places), SpeechEndpoint(runtime, places)
        completions = ChatCompletionsEndpoint(runtime, places)
        secrets = ClientSecrets(runtime.config.limits.client_secrets)
        sessions, control = ClientSecretsEndpoint(runtime, secrets), CallControlEndpoint(runtime)
        self.application = Starlette(
            routes=[
                Route("/", self._page),
                Mount("/static", StaticFiles(directory=STATIC)),
                *(WebSocketRoute(path, self.realtime) for path in PATHS),
                *(Route(path, self.calls, methods=["POST"]) for path in self.calls.paths),
                *_also_azures("/v1/realtime/client_secrets", sessions.client_secrets),
                *_also_azures("/v1/realtime/sessions", sessions.sessions),
                *_also_azures("/v1/realtime/transcription_sessions", sessions.transcription_sessions),
                *_also_azures("/v1/realtime/calls/{call_id}/accept", control.accept),
                *_also_azures("/v1/realtime/calls/{call_id}/reject", control.reject),
                *_also_azures("/v1/realtime/calls/{call_id}/refer", control.refer),
                *_also_azures("/v1/realtime/calls/{call_id}/hangup", control.hang_up),
                *_also_azures("/v1/audio/transcriptions", transcriptions),
                *_also_azures("/v1/audio/speech", speaking),
                *_also_azures("/v1/chat/completions", completions),
                Route("/openai/deployments/{deployment}/chat/completions", completions, methods=["POST"]),
                *(Route(path, self._models) for path in ("/v1/models", "/openai/v1/models", "/openai/models")),
                Route("/v1/status", self._status),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
            ],
            middleware=[
                Middleware(SafeHeaders),
                Middleware(Cors, server=runtime.config.server),
                Middleware(ServerErrorMiddleware, handler=ours),  # within those that put headers on answers
                Middleware(Guard, server=runtime.config.server, keys=runtime.config.secrets, secrets=secrets),
            ],
            exception_handlers=HANDLERS,
        )
        self.application.router.redirect_slashes = False  # `Guard` has taken those too many out

    async def hang_up(self) -> None:
        """Tell every conversation that the server goes away; return when all have ended."""
        transports: Sequence[Transport[Any]] = (self.realtime, self.calls.webrtc)
        for transport in transports:
            await transport.hang_up()

    def _connect(self, caller: Caller) -> AbstractAsyncContextManager[Line]:
        if not self.runtime.ready:
            raise not_ready()
        return self.runtime.switchboard.connect(caller)

    def _join(self, call_id: str, extras: bool) -> AbstractAsyncContextManager[Line]:
        if not self.runtime.ready:
            raise not_ready()
        return self.runtime.switchboard.join(call_id, extras=extras)

    async def _page(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _healthz(self, _: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _readyz(self, _: Request) -> Response:
        """Say 200 when all models are warm; until then 503, and how far each is."""
        states = dict(self.runtime.states)
        if self.runtime.ready:
            return JSONResponse({"status": "ready", "models": states})
        return JSONResponse({"status": "loading", "models": states}, 503, RETRY_AFTER)

    async def _status(self, _: Request) -> Response:
        """Say, for the page, who speaks and whether they may be wrong."""
        choices, config = self.runtime.choices, self.runtime.config
        return JSONResponse(
            {
                "ready": self.runtime.ready,
                "preset": self.runtime.config.preset,
                "engine": config.engine,
                "remote": config.remote.about if config.engine == "remote" else None,
                "providers": {role: choice.about for role, choice in choices.items()},
                "assistant": self.runtime.assistant.name if self.runtime.assistant else None,
                "description": self.runtime.description,
                "key_needed": bool(self.runtime.config.secrets),
                "conversations": len(self.runtime.switchboard.callers) if self.runtime.ready else 0,
            }
        )

    async def _models(self, _: Request) -> Response:
        """List ourselves and who does the work, as OpenAI lists models."""
        config = self.runtime.config
        far = [config.remote.model] if config.engine == "remote" else []
        names = [MODEL, *far, *(choice.plugin.name for choice in self.runtime.choices.values())]
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": MODEL} for name in dict.fromkeys(names)
        ]
        return JSONResponse({"object": "list", "data": models})


def _also_azures(path: str, endpoint: Endpoint) -> list[Route]:
    """Return the routes of what is posted to OpenAI's address, or to the same at Azure."""
    return [Route(where, endpoint, methods=["POST"]) for where in (path, f"/openai{path}")]
