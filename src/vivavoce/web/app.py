"""The web application: the Realtime protocol, the page, and the HTTP endpoints."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from vivavoce.config.schema import Config
from vivavoce.runtime import Runtime
from vivavoce.session.call import Caller
from vivavoce.session.line import Line
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.webhooks import AnnouncedCalls, CallWebhooks, ignore
from vivavoce.transports.upload import UploadTransport
from vivavoce.transports.websocket import PATHS, WebSocketTransport
from vivavoce.web.api_page import api_page
from vivavoce.web.conditional import json_response
from vivavoce.web.endpoints.audio_socket import AudioSocketEndpoint
from vivavoce.web.endpoints.call_control import CallControlEndpoint
from vivavoce.web.endpoints.calls import CallsEndpoint
from vivavoce.web.endpoints.carriers import CallAnswers, call_streams
from vivavoce.web.endpoints.chat_completions import ChatCompletionsEndpoint
from vivavoce.web.endpoints.client_secrets import ClientSecretsEndpoint
from vivavoce.web.endpoints.models import ModelsEndpoint
from vivavoce.web.endpoints.page_settings import PageSettingsEndpoint
from vivavoce.web.endpoints.sign_in import SignInEndpoint
from vivavoce.web.endpoints.speech import SpeechEndpoint
from vivavoce.web.endpoints.status import StatusEndpoint
from vivavoce.web.endpoints.transcript_test import TranscriptTestEndpoint
from vivavoce.web.endpoints.transcriptions import TranscriptionsEndpoint, refuse_translation
from vivavoce.web.endpoints.voice_chat import VoiceChatEndpoint
from vivavoce.web.errors import HANDLERS, RETRY_AFTER, HttpError, handle_error, require_ready
from vivavoce.web.history_routes import history_routes
from vivavoce.web.openapi import openapi
from vivavoce.web.requests import Admission
from vivavoce.web.security.carriers import CarrierAccess
from vivavoce.web.security.client_secrets import ClientSecrets
from vivavoce.web.security.guard import BrowserHeaders, Guard
from vivavoce.web.security.sign_in import BrowserCookies, SignInCodes
from vivavoce.web.security.tls import Tls
from vivavoce.web.shell import Shell

if TYPE_CHECKING:
    from vivavoce.store.recorder import Recorder

UPGRADE = {"upgrade": "websocket", "connection": "upgrade"}
SOCKET = "/ws/audio"
MODELS = ("/v1/models", "/openai/v1/models", "/openai/models")


def call_webhooks(config: Config) -> CallWebhooks | None:
    """Return what reports calls by telephone to the owner's server, if there is one."""
    secret = config.telephone_webhook_secret.get_secret_value()
    return CallWebhooks(config.telephone.webhook, secret) if config.telephone.webhook else None


class Web:
    """All HTTP and WebSocket endpoints of a runtime. `application` is the ASGI application.

    What `recorder` has stored can be asked for; without one, nothing is.
    """

    def __init__(self, runtime: Runtime, recorder: "Recorder | None" = None, tls: Tls | None = None) -> None:
        self.runtime, self.tls = runtime, tls
        config = runtime.config
        self.realtime = WebSocketTransport(self.connect, config.limits, self._join)
        self.calls = CallsEndpoint(runtime, self.connect)
        admission, secrets = Admission(runtime), ClientSecrets(config.limits.client_secrets)
        self.uploads = UploadTransport(self.connect, config.limits)
        self.announced, self.webhooks = AnnouncedCalls(), call_webhooks(config)
        observe = self.webhooks.observe if self.webhooks else ignore
        self.telephone = TelephoneTransport(self.connect, config.limits, self.announced, observe)
        carriers = CarrierAccess(config.server, config.carrier_secrets, config.secrets)
        answers, streams = CallAnswers(runtime, carriers), call_streams(runtime, self.telephone)
        codes = SignInCodes(config.limits.sign_in_codes, config.limits.sign_in_code_seconds)
        days, file = config.limits.sign_in_days, config.server.data.absolute() / "browsers.secret"
        cookies = BrowserCookies(config.secrets, file, round(days * 24 * 3600))
        self.sign_in = SignInEndpoint(config, codes, cookies, tls)
        page_settings = PageSettingsEndpoint(config.server.data.absolute() / "page-settings", config.limits)
        shell, models = Shell(), ModelsEndpoint(runtime)
        sessions, control = ClientSecretsEndpoint(runtime, secrets), CallControlEndpoint(runtime)
        by_model: dict[str, Callable[[Request], Awaitable[Response]] | ASGIApp] = {
            "audio/transcriptions": TranscriptionsEndpoint(runtime, admission),
            "audio/translations": refuse_translation,
            "audio/speech": SpeechEndpoint(runtime, admission),
            "chat/completions": ChatCompletionsEndpoint(runtime, admission),
        }
        uploads: dict[str, ASGIApp] = {
            "/voice-chat": VoiceChatEndpoint(config.limits, admission, self.uploads),
            "/test-transcript": TranscriptTestEndpoint(runtime, admission),
        }
        at_azure_too = {
            "/v1/realtime/client_secrets": sessions.client_secrets,
            "/v1/realtime/sessions": sessions.sessions,
            "/v1/realtime/transcription_sessions": sessions.transcription_sessions,
            "/v1/realtime/calls/{call_id}/accept": control.accept,
            "/v1/realtime/calls/{call_id}/reject": control.reject,
            "/v1/realtime/calls/{call_id}/refer": control.refer,
            "/v1/realtime/calls/{call_id}/hangup": control.hang_up,
            **{f"/v1/{path}": endpoint for path, endpoint in by_model.items()},
        }
        self.application = Starlette(
            routes=[
                Route("/", shell.index),
                Route("/manifest.webmanifest", shell.manifest, include_in_schema=False),
                Route("/worker.js", shell.worker, include_in_schema=False),
                Route("/static/{path:path}", shell.file, include_in_schema=False),
                *(WebSocketRoute(path, self.realtime) for path in PATHS),
                *(Route(path, self.calls, methods=["POST"]) for path in self.calls.paths),
                *(
                    Route(f"{prefix}{path}", endpoint, methods=["POST"])
                    for path, endpoint in at_azure_too.items()
                    for prefix in ("", "/openai")
                ),
                *(
                    Route(f"/openai/deployments/{{deployment}}/{path}", endpoint, methods=["POST"])
                    for path, endpoint in by_model.items()
                ),
                *(Route(path, models.list) for path in MODELS),
                *(Route(f"{path}/{{model:path}}", models.retrieve) for path in MODELS),
                *(Route(path, endpoint, methods=["POST"]) for path, endpoint in uploads.items()),
                WebSocketRoute(SOCKET, AudioSocketEndpoint(runtime, self.uploads)),
                *(WebSocketRoute(path, stream) for path, stream in streams.items()),
                Route("/twilio/voice", answers.twilio, methods=["POST"]),
                Route("/signalwire/voice", answers.signalwire, methods=["POST"]),
                Route("/telnyx/voice", answers.telnyx, methods=["POST"]),
                Route("/plivo/voice", answers.plivo, methods=["POST"]),
                Route("/vonage/voice", answers.vonage, methods=["GET", "POST"]),
                *history_routes(recorder, config.limits),
                Route("/openapi.json", self._openapi),
                Route("/docs", self._docs),
                *(
                    Route(path, require_websocket, include_in_schema=False)
                    for path in (*PATHS, SOCKET, *streams)
                ),
                Route("/authority.crt", self.sign_in.authority),
                Route("/v1/sign-in", self.sign_in.sign_in, methods=["POST"]),
                Route("/v1/sign-in", self.sign_in.sign_out, methods=["DELETE"]),
                Route("/v1/sign-in/codes", self.sign_in.code, methods=["POST"]),
                Route("/v1/page-settings", page_settings.read),
                Route("/v1/page-settings", page_settings.write, methods=["PUT"]),
                Route("/v1/status", StatusEndpoint(runtime, has_history=recorder is not None).respond),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
            ],
            middleware=[
                Middleware(BrowserHeaders, server=config.server),
                Middleware(GZipMiddleware, compresslevel=5, thread_minimum_size=32 * 1024),  # no sound
                Middleware(ServerErrorMiddleware, handler=handle_error),  # within: errors need the headers too
                Middleware(
                    Guard,
                    server=config.server,
                    keys=config.secrets,
                    secrets=secrets,
                    cookies=cookies,
                    carriers=carriers,
                ),
            ],
            exception_handlers=HANDLERS,
        )
        self.application.router.redirect_slashes = False  # `Guard` removes those that are too many

    async def hang_up(self) -> None:
        """End all calls, because the server shuts down; return when all have ended."""
        await self.realtime.hang_up()
        await self.calls.webrtc.hang_up()
        await self.uploads.hang_up()
        await self.telephone.hang_up()

    def connect(self, caller: Caller) -> AbstractAsyncContextManager[Line]:
        """Connect a caller to the engine. Raises `ProtocolError` while models are loading, or if full."""
        require_ready(self.runtime)
        return self.runtime.switchboard.connect(caller)

    def _join(self, call_id: str, extras: bool) -> AbstractAsyncContextManager[Line]:
        require_ready(self.runtime)
        return self.runtime.switchboard.join(call_id, extras=extras)

    async def _openapi(self, request: Request) -> Response:
        return json_response(request, await anyio.to_thread.run_sync(lambda: self._description))

    async def _docs(self, _: Request) -> Response:
        return HTMLResponse(await anyio.to_thread.run_sync(lambda: self._described))

    @cached_property
    def _description(self) -> Mapping[str, Any]:
        return openapi(self.application.routes)

    @cached_property
    def _described(self) -> str:
        return api_page(self._description)

    async def _healthz(self, _: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _readyz(self, _: Request) -> Response:
        """Answer 200 when all models are loaded and warmed up; until then 503, with the state of each."""
        states = dict(self.runtime.states)
        if self.runtime.ready:
            return JSONResponse({"status": "ready", "models": states})
        return JSONResponse({"status": "loading", "models": states}, 503, RETRY_AFTER)


async def require_websocket(_: Request) -> Response:
    """Answer a request to an endpoint of the Realtime protocol that is none for a WebSocket."""
    message = "This is an endpoint for WebSockets: connect to it by ws:// or wss://."
    raise HttpError(426, message, code="upgrade_required", headers=UPGRADE)
