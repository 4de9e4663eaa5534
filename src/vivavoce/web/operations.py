"""What each endpoint is for, is asked and answers: the table of which `/openapi.json` is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec import Struct

from vivavoce.protocol.session import Session
from vivavoce.web.endpoints.call_control import ReferRequest, RejectRequest
from vivavoce.web.endpoints.chat_schema import ChatCompletionRequest
from vivavoce.web.endpoints.client_secrets import ClientSecret, ClientSecretRequest
from vivavoce.web.endpoints.history_schema import (
    ConversationsPage,
    ConversationsQuery,
    ConversationStatistics,
    ConversationTurns,
    CostsQuery,
    CostSums,
    Deletion,
    DeletionQuery,
    EventsPage,
    ExportQuery,
    ItemsPage,
    NoQuery,
    PartsQuery,
    SearchQuery,
    SoundQuery,
    StatisticsQuery,
    StoredConversation,
)
from vivavoce.web.endpoints.sign_in import SignInCode, SignInRequest
from vivavoce.web.endpoints.speech import SpeechRequest
from vivavoce.web.endpoints.status import ServerStatus
from vivavoce.web.endpoints.transcript_test import TestedTranscript, TranscriptTestQuery
from vivavoce.web.endpoints.transcriptions import TranscriptionRequest
from vivavoce.web.uploads import AudioSocketQuery, VoiceChatQuery

JSON, XML = "application/json", "application/xml"
FORM: Mapping[str, None] = {"application/x-www-form-urlencoded": None}
SOUND = ("audio/mpeg", "audio/ogg", "audio/aac", "audio/flac", "audio/wav", "audio/pcm")

CARRIERS = {
    "twilio": "Twilio",
    "telnyx": "Telnyx",
    "signalwire": "SignalWire",
    "plivo": "Plivo",
    "exotel": "Exotel",
    "vonage": "Vonage",
}
TAGS = {
    "Realtime": "Conversations by voice, in OpenAI's Realtime protocol.",
    "Audio and chat": "OpenAI's endpoints for recordings, texts and chats.",
    "Recordings": "A recording in, a spoken answer out.",
    "Telephone": "Calls that carriers stream here. Their requests are signed, as each of them does it.",
    "Stored conversations": (
        "What was said, heard and spent. Errors are problem+json (RFC 9457). It is not at `/v1/conversations`, "
        "since OpenAI has other conversations there."
    ),
    "Server": "The server itself.",
}
PROBLEM_ERRORS = frozenset({"Stored conversations"})
"""tags of endpoints that answer errors as problem+json; others do in OpenAI's format"""
PARAMETERS = {
    "call_id": "The call, as `Location` or `realtime.call.incoming` names it.",
    "deployment": "Any name: the models are those of the server's settings.",
    "id": "A conversation, or its session (`id` of `session.created`).",
    "model": "The id of a model, as the list has it.",
}
PROBLEMS = {
    "changed_meanwhile": "It is not what the client has seen (`If-Match`); GET it again, and decide anew.",
    "client_secret_not_allowed": "A client secret reads no history: use a key.",
    "conversation_in_progress": "It goes on, or is still being written; end it, or wait a moment.",
    "conversation_not_found": "There is no conversation, and no session, with this id.",
    "internal_error": "A bug; the server's log has more.",
    "invalid_api_key": "This server needs one of its keys.",
    "invalid_cursor": "`before` or `after` is no `next` of this list; pass it on as it is.",
    "invalid_value": "`param` names the part of the request, and `detail` what it may be.",
    "missing_required_parameter": "`param` has to be there.",
    "origin_not_allowed": "Pages of this origin may not do so; the owner can name it in `[server] origins`.",
    "range_not_satisfiable": "There are no such bytes; `Content-Range` says how many there are.",
    "recording_not_found": "There is no sound: none was recorded, it is not there yet, or it was removed.",
    "recording_unavailable": "The recording cannot be read; try again later, or see the server's log.",
    "store_busy": "The database took too long; ask for less, or try again later.",
    "store_disabled": "This server stores nothing.",
    "store_unavailable": "The database fails, or was made by a newer vivavoce; try again later.",
    "unknown_host": "The server is not known by the name in `Host`; the owner can add it to `[server] hosts`.",
    "unknown_parameter": "There is no such parameter; `param` names it.",
}
"""by code: what a problem means, and what to do about it"""

OPENAI_ERROR: Mapping[str, Any] = {
    "title": "OpenAiError",
    "description": "An error in OpenAI's format.",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


@dataclass(frozen=True)
class Operation:
    """One method of one path. Bodies and answers are types by media type; None is anything, such as sound."""

    tag: str
    summary: str
    description: str = ""
    query: type[Struct] | None = None
    headers: Sequence[Mapping[str, Any]] = ()
    body: Mapping[str, type | None] = field(default_factory=dict)
    file: str = ""
    """of a form: the field with the recording"""
    needs_body: bool = True
    answer: str = "Done."
    answers: Mapping[str, type | None] = field(default_factory=dict)
    status: int = 200
    others: Mapping[int, str] = field(default_factory=dict)
    """further statuses that are no errors, in words"""
    errors: Sequence[int] = ()


def _header(name: str, text: str) -> Mapping[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}


_IF_NONE_MATCH = _header("If-None-Match", "The `ETag` of what the client has; then 304 if that is still so.")
_RANGE = _header("Range", "Bytes, such as `bytes=0-1023` or `bytes=-1024`.")
_IF_RANGE = _header("If-Range", "The `ETag` of what the client has a part of; all is sent if that has changed.")
_UNCHANGED = {304: "The client has it already."}


def _stored(
    summary: str,
    query: type[Struct],
    answer: type[Struct],
    text: str,
    *errors: int,
    description: str = "",
) -> Operation:
    return Operation(
        "Stored conversations",
        summary,
        description,
        query,
        [_IF_NONE_MATCH],
        answer=text,
        answers={JSON: answer},
        others=_UNCHANGED,
        errors=(400, 401, *errors, 404, 503),
    )


_realtime = partial(Operation, "Realtime")


_CALL = (400, 401, 403, 404, 409, 413, 503)

OPERATIONS: Mapping[str, Operation] = {
    "WS /v1/realtime": Operation(
        "Realtime",
        "A conversation by WebSocket",
        "A client connects by WebSocket, sends client events as JSON text, and receives server events, as the "
        "Realtime protocol has them. `?call_id=` joins a running call instead. A handshake is refused with an "
        "error, of which the WebSockets of browsers tell nothing.",
        status=101,
        answer="The connection is a WebSocket now.",
        errors=(400, 401, 403, 404, 426, 503),
    ),
    "POST /v1/realtime": _realtime(
        "Open a call by WebRTC, as before GA",
        body={"application/sdp": None},
        description="The body is an SDP offer; the call speaks the beta of the protocol.",
        status=201,
        answer="The SDP answer; `Location` is the call.",
        answers={"application/sdp": None},
        errors=(400, 401, 403, 408, 413, 415, 501, 503),
    ),
    "POST /v1/realtime/calls": _realtime(
        "Open a call by WebRTC",
        body={"application/sdp": None, "multipart/form-data": None},
        description="The body is an SDP offer, or a form with the offer in `sdp` and the session in `session`.",
        status=201,
        answer="The SDP answer; `Location` is the call.",
        answers={"application/sdp": None},
        errors=(400, 401, 403, 408, 413, 415, 501, 503),
    ),
    "POST /v1/realtime/client_secrets": _realtime(
        "Create a client secret",
        body={JSON: ClientSecretRequest},
        description="A short-lived key, bound to a session, for a page or an app.",
        needs_body=False,
        answer="The secret, which nobody can ask for again.",
        answers={JSON: ClientSecret},
        errors=(400, 401, 403, 408, 413, 429),
    ),
    "POST /v1/realtime/sessions": _realtime(
        "Create a client secret, as in the beta",
        body={JSON: None},
        description="The body is a session of the beta.",
        needs_body=False,
        answer="The session, with its `client_secret`.",
        answers={JSON: None},
        errors=(400, 401, 403, 408, 413, 429),
    ),
    "POST /v1/realtime/transcription_sessions": _realtime(
        "Create a client secret for transcription, as in the beta",
        body={JSON: None},
        description="The body is a transcription session of the beta.",
        needs_body=False,
        answer="The session, with its `client_secret`.",
        answers={JSON: None},
        errors=(400, 401, 403, 408, 413, 429),
    ),
    "POST /v1/realtime/calls/{call_id}/accept": _realtime(
        "Accept an incoming call",
        body={JSON: Session},
        description="The body is the session of the call.",
        errors=_CALL,
    ),
    "POST /v1/realtime/calls/{call_id}/reject": _realtime(
        "Reject an incoming call", body={JSON: RejectRequest}, needs_body=False, errors=_CALL
    ),
    "POST /v1/realtime/calls/{call_id}/refer": _realtime(
        "Transfer a call", body={JSON: ReferRequest}, errors=_CALL
    ),
    "POST /v1/realtime/calls/{call_id}/hangup": _realtime("End a call", body={}, errors=_CALL),
    "POST /v1/audio/transcriptions": Operation(
        "Audio and chat",
        "Transcribe a recording",
        "A form with the recording in `file`, in any format that FFmpeg reads.",
        body={"multipart/form-data": TranscriptionRequest},
        file="file",
        answer="The transcript, in the format that was asked for.",
        answers={JSON: None, "text/plain": None, "text/vtt": None, "text/event-stream": None},
        errors=(400, 401, 408, 413, 415, 501, 502, 503),
    ),
    "POST /v1/audio/translations": Operation(
        "Audio and chat",
        "Refused: this server does not translate recordings",
        status=400,
        answer="`POST /v1/audio/transcriptions` transcribes them.",
    ),
    "POST /v1/audio/speech": Operation(
        "Audio and chat",
        "Speak a text",
        "The sound is streamed while it is made.",
        body={JSON: SpeechRequest},
        answer="The sound, in the format that was asked for.",
        answers={**dict.fromkeys(SOUND), "text/event-stream": None},
        errors=(400, 401, 408, 413, 415, 501, 502, 503),
    ),
    "POST /v1/chat/completions": Operation(
        "Audio and chat",
        "Ask the chat model in writing",
        body={JSON: ChatCompletionRequest},
        answer="The answer, whole or as a stream.",
        answers={JSON: None, "text/event-stream": None},
        errors=(400, 401, 408, 413, 501, 502, 503),
    ),
    "POST /voice-chat": Operation(
        "Recordings",
        "Answer a recording aloud",
        "A form with the recording in `audio`. The sound is streamed while it is made. What was understood is "
        "in the header `X-Transcript`, the answer in `X-AI-Response`, percent-encoded where it is not ASCII; "
        "`X-AI-Response-Complete` is `false` if its text goes on. `X-Conversation-Id`, and a cookie, name the "
        "conversation for the next recording.",
        query=VoiceChatQuery,
        body={"multipart/form-data": None},
        file="audio",
        answer="The spoken answer.",
        answers=dict.fromkeys(SOUND),
        errors=(400, 401, 404, 406, 408, 413, 415, 422, 429, 501, 502, 503),
    ),
    "POST /test-transcript": Operation(
        "Recordings",
        "Test what is understood of a recording",
        "A form with the recording in `audio`.",
        query=TranscriptTestQuery,
        body={"multipart/form-data": None},
        file="audio",
        answer="The transcript, and how long each step took.",
        answers={JSON: TestedTranscript},
        errors=(400, 401, 408, 413, 415, 422, 501, 502, 503),
    ),
    "WS /ws/audio": Operation(
        "Recordings",
        "Answer one recording after the other",
        "A WebSocket: a binary message is a recording, a text message a written question; each is answered by "
        "one binary message, the spoken answer as a file, or by an `error` as JSON.",
        query=AudioSocketQuery,
        status=101,
        answer="The conversation begins.",
        errors=(400, 401, 403, 426, 501, 503),
    ),
    **{
        f"WS /{name}": Operation(
            "Telephone",
            f"A call, as {carrier} streams it",
            f"A WebSocket of {carrier}'s media streams: one call.",
            status=101,
            answer="The stream begins.",
            errors=(401, 426, 503),
        )
        for name, carrier in CARRIERS.items()
    },
    "WS /asterisk": Operation(
        "Telephone",
        "A call, as Asterisk's chan_websocket brings it",
        "A WebSocket with the subprotocol `media`: one call. A key may be in `?key=`, or the password.",
        status=101,
        answer="The call begins.",
        errors=(401, 426, 503),
    ),
    **{
        f"{method} /{name}/voice": Operation(
            "Telephone",
            f"What {CARRIERS[name]} does with a call",
            "The answer has the call streamed here. What the query has beside is passed on to the stream.",
            body=bodies,
            answer=answer,
            answers={media: None},
            errors=(400, 401, 413, 501),
        )
        for method, name, bodies, answer, media in (
            ("POST", "twilio", FORM, "TwiML.", XML),
            ("POST", "signalwire", FORM, "cXML.", XML),
            ("POST", "telnyx", FORM, "TeXML.", XML),
            ("POST", "plivo", FORM, "Plivo's XML.", XML),
            ("GET", "vonage", {}, "An NCCO.", JSON),
            ("POST", "vonage", {JSON: None}, "An NCCO.", JSON),
        )
    },
    "GET /v1/models": Operation(
        "Server", "List the models in use", answer="The models, as OpenAI lists them.", answers={JSON: None}
    ),
    "GET /v1/models/{model}": Operation(
        "Server", "Retrieve a model", answer="The model.", answers={JSON: None}, errors=(401, 404)
    ),
    "GET /authority.crt": Operation(
        "Server",
        "The certificate of the server's own authority",
        "A phone or a program that trusts it trusts the server's certificates.",
        answer="The certificate, in DER.",
        answers={"application/x-x509-ca-cert": None},
        errors=(404,),
    ),
    "POST /v1/sign-in": Operation(
        "Server",
        "Sign a browser in",
        "A code or a key is exchanged for a cookie that scripts cannot read. It counts as a key, but not for "
        "what gives out secrets.",
        body={JSON: SignInRequest},
        status=204,
        answer="The browser has signed in, or need not.",
        errors=(400, 401, 413),
    ),
    "DELETE /v1/sign-in": Operation(
        "Server", "Sign a browser out", status=204, answer="The browser forgets its cookie."
    ),
    "GET /v1/page-settings": Operation(
        "Server",
        "What a person chose on the page",
        "Browsers that have signed in with one key are one person's.",
        answer="The settings by name; empty if nothing was chosen yet.",
        answers={JSON: None},
        errors=(401, 404),
    ),
    "PUT /v1/page-settings": Operation(
        "Server",
        "Keep what a person chose on the page",
        body={JSON: None},
        status=204,
        answer="The settings are kept.",
        errors=(400, 401, 404, 413),
    ),
    "POST /v1/sign-in/codes": Operation(
        "Server",
        "A code that signs a browser in once",
        answer="The code, and the addresses of the page.",
        answers={JSON: SignInCode},
        errors=(400, 401, 429),
    ),
    "GET /v1/status": Operation(
        "Server", "What answers here", answer="The state of the server.", answers={JSON: ServerStatus}
    ),
    "GET /v1/history": _stored(
        "List conversations",
        ConversationsQuery,
        ConversationsPage,
        "Conversations, newest first, each with what it cost.",
    ),
    "DELETE /v1/history": Operation(
        "Stored conversations",
        "Delete several conversations",
        "All of them are deleted, or none if one of them cannot be.",
        DeletionQuery,
        answer="They are deleted, with their recordings.",
        answers={JSON: Deletion},
        errors=(400, 401, 403, 404, 409, 503),
    ),
    "GET /v1/history/search": _stored(
        "Search what was said",
        SearchQuery,
        ItemsPage,
        "Items with all the words, newest first; `heard` is what was heard of them.",
    ),
    "GET /v1/history/costs": _stored(
        "Sum up costs",
        CostsQuery,
        CostSums,
        "The costs by day, model or person.",
        description="Costs that are not known are counted, and not taken as 0.",
    ),
    "GET /v1/history/statistics": _stored(
        "Count conversations, and how long answers took",
        StatisticsQuery,
        ConversationStatistics,
        "By day, transport, engine or person.",
        description="Stages of a turn count from its end: `first_audio` is how long the user waited.",
    ),
    "GET /v1/history/{id}": _stored(
        "Retrieve a conversation", NoQuery, StoredConversation, "The conversation with all its parts."
    ),
    "DELETE /v1/history/{id}": Operation(
        "Stored conversations",
        "Delete a conversation",
        "Its rows, its words in the index for searching, and its recording.",
        NoQuery,
        [
            _header(
                "If-Match", "The `ETag` of the conversation; then it is deleted only if it is still the same."
            )
        ],
        answer="It is deleted.",
        answers={JSON: Deletion},
        errors=(400, 401, 403, 404, 409, 412, 503),
    ),
    "GET /v1/history/{id}/items": _stored(
        "List items", PartsQuery, ItemsPage, "What was said, and tools that were called, in order."
    ),
    "GET /v1/history/{id}/timings": _stored(
        "List the times of turns", NoQuery, ConversationTurns, "The stages of each turn: a waterfall as data."
    ),
    "GET /v1/history/{id}/events": _stored(
        "List events", PartsQuery, EventsPage, "The events of the protocol, in order, without sound."
    ),
    "GET /v1/history/{id}/audio": Operation(
        "Stored conversations",
        "Play a conversation, or one turn",
        "The recording as it was stored, in stereo: left the caller, right what was heard of the assistant. "
        "With `item` the sound of that item alone, cut out to the sample. All but an item as Ogg can be had in "
        "parts.",
        SoundQuery,
        [
            _IF_NONE_MATCH,
            _RANGE,
            _IF_RANGE,
        ],
        answer="The sound.",
        answers={"audio/ogg": None, "audio/flac": None, "audio/wav": None},
        others={206: "A part of the sound.", **_UNCHANGED},
        errors=(400, 401, 404, 416, 503),
    ),
    "GET /v1/history/{id}/export": Operation(
        "Stored conversations",
        "Export a conversation",
        "As JSON (all its parts), Markdown, subtitles (SubRip), or the whole recording as WAV.",
        ExportQuery,
        [_IF_NONE_MATCH, _RANGE, _IF_RANGE],
        answer="A file.",
        answers={
            JSON: StoredConversation,
            "text/markdown": None,
            "application/x-subrip": None,
            "audio/wav": None,
        },
        others={206: "A part of the sound.", **_UNCHANGED},
        errors=(400, 401, 404, 416, 503),
    ),
    "GET /": Operation("Server", "The web page", answer="The page.", answers={"text/html": None}),
    "GET /docs": Operation(
        "Server", "This description, for people", answer="A page.", answers={"text/html": None}
    ),
    "GET /openapi.json": Operation(
        "Server", "This description", answer="A document of OpenAPI 3.1.", answers={JSON: None}
    ),
    "GET /healthz": Operation("Server", "Whether the process runs", answer="It does.", answers={JSON: None}),
    "GET /readyz": Operation(
        "Server",
        "Whether all models are loaded",
        answer="They are.",
        answers={JSON: None},
        others={503: "They are loading; the state of each."},
    ),
}
"""by method (`WS` is a WebSocket) and path; other paths of the same are described with it"""
