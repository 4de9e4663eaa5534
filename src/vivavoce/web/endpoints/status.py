"""`GET /v1/status`: what answers, what else is there, and which limits matter, for the page and for `viva`."""

from collections.abc import Mapping

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vivavoce.extras import missing_packages
from vivavoce.runtime import Runtime
from vivavoce.web.conditional import json_response

PAGE_LIMITS = ("conversation_minutes", "text_chars", "speech_chars", "upload_bytes", "upload_seconds")
"""limits that people meet on the page"""


class ServerStatus(Struct, frozen=True, kw_only=True):
    """The response. A client that has yet to show a key is told `ready` and `key_needed`, and no more."""

    ready: bool
    """whether all models are loaded"""
    key_needed: bool
    """whether this client has to show a key, or this browser to sign in"""
    signed_in: bool
    """whether this browser has signed in, so that `/v1/page-settings` has what its person chose"""
    description: str
    """what answers, in a sentence"""
    model: str
    """the model that answers, in a few words for people"""
    engine: str
    """`cascade`: models of this machine; `remote`: an upstream server"""
    preset: str
    """of the configuration"""
    remote: str | None
    """the upstream server and its model"""
    assistant: str | None
    """the assistant's name"""
    providers: Mapping[str, str]
    """what does each part of the work, by its role"""
    voice: str | None
    """with which a session begins, if the settings name one"""
    voices: list[str] | None
    """from which a session may choose; null if that is not known"""
    languages: list[str] | None
    """that are transcribed, as ISO 639-1; null if that is not limited"""
    webrtc: bool
    """whether calls by WebRTC are taken"""
    history: bool
    """whether conversations are stored"""
    recordings: bool
    """whether their sound is"""
    limits: Mapping[str, float]
    """those that people meet on the page, by name"""
    conversations: int
    """in progress"""


class StatusEndpoint:
    """The endpoint of the status."""

    def __init__(self, runtime: Runtime, *, has_history: bool) -> None:
        self._runtime, self._has_history = runtime, has_history
        self._has_webrtc = not missing_packages("webrtc")

    async def respond(self, request: Request) -> Response:
        """Answer `GET /v1/status`."""
        if not request.state.admitted:
            return JSONResponse({"ready": self._runtime.ready, "key_needed": True})
        return json_response(request, self.status(signed_in=getattr(request.state, "person", None) is not None))

    def status(self, *, signed_in: bool = False) -> ServerStatus:
        """Return the status for whoever may come in."""
        runtime, config = self._runtime, self._runtime.config
        remote = config.remote.about if config.engine == "remote" else None
        transcriber, synthesizer = runtime.choices.get("transcriber"), runtime.choices.get("synthesizer")
        local = config.engine == "cascade"
        voices = synthesizer.plugin.voices(synthesizer.settings) if synthesizer and local else None
        languages = transcriber.plugin.languages if transcriber and local else None
        return ServerStatus(
            ready=runtime.ready,
            key_needed=False,
            signed_in=signed_in,
            description=runtime.description,
            model=remote or runtime.choices["chat"].about.partition(";")[0],
            engine=config.engine,
            preset=config.preset,
            remote=remote,
            assistant=runtime.assistant.name if runtime.assistant else None,
            providers={role: choice.about for role, choice in runtime.choices.items()},
            voice=config.session.voice,
            voices=None if voices is None else list(voices),
            languages=None if languages is None else list(languages),
            webrtc=self._has_webrtc,
            history=self._has_history,
            recordings=self._has_history and config.store.recordings,
            limits={name: getattr(config.limits, name) for name in PAGE_LIMITS},
            conversations=len(runtime.switchboard.callers) if runtime.ready else 0,
        )
