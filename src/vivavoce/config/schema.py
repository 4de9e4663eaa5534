"""The settings: a table for each part, and a default for everything.

`Config()` is a local, keyless assistant. `loading.load` reads what is configured otherwise.
"""

import tomllib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import fields
from importlib.resources import files
from math import inf
from pathlib import Path
from typing import Annotated, Literal, Self, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec
from platformdirs import user_data_path
from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, field_validator, model_validator

from vivavoce.addresses import is_loopback
from vivavoce.config.base import HttpAddress, HttpAddresses, Origins, SettingsTable, Table, Texts, matching
from vivavoce.config.telephone import TelephoneTable
from vivavoce.config.tools import ToolsTable
from vivavoce.errors import ProtocolError, alternatives, msgspec_problem
from vivavoce.limits import Limits
from vivavoce.protocol.session import (
    InputSettings,
    OutputSettings,
    SemanticVad,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionSettings,
    TurnDetection,
)
from vivavoce.protocol.settings import check_session

SLOTS = ("vad", "turn", "transcriber", "chat", "synthesizer", "denoiser")

CARRIER_SECRETS: Mapping[str, str] = {
    "twilio": "twilio_token",
    "signalwire": "signalwire_key",
    "plivo": "plivo_token",
    "telnyx": "telnyx_public_key",
    "vonage": "vonage_secret",
}
"""by carrier of telephone calls: the setting with what it signs its requests with"""

_TURN_DETECTIONS: Mapping[str, type[msgspec.Struct]] = {"semantic_vad": SemanticVad, "server_vad": ServerVad}
_KEYS = {"openai": "OPENAI_API_KEY", "azure": "AZURE_OPENAI_API_KEY"}
_OTHERS_KEY = "VIVAVOCE_REMOTE_KEY"
_SECRETS = {"api-key", "key", "token"}

BASE: Mapping[str, Mapping[str, Table]] = {"session": {"turn_detection": {"type": "semantic_vad"}}}
"""default tables that a layer replaces as a whole if it has another `type`"""

_PRESETS = tomllib.loads(files("vivavoce.config").joinpath("presets.toml").read_text(encoding="utf-8"))
PRESETS: Mapping[str, Table] = {name: {**_PRESETS["offline"], **table} for name, table in _PRESETS.items()}


class ServerTable(SettingsTable):
    """`[server]`: the address and port, and the clients that may connect."""

    host: Annotated[str, matching(r"^\S+$", "an address to listen on")] = "127.0.0.1"
    """address to listen on; beyond loopback a key is required"""
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    """port to listen on; 0 takes any free one"""
    data: Path = Field(default_factory=lambda: user_data_path("vivavoce", appauthor=False))
    """folder for files that vivavoce writes"""
    https: bool = False
    """whether the server speaks HTTPS, with a certificate of its own if none is named"""
    certificate: Path | None = None
    """file with a certificate and its chain (PEM), for HTTPS"""
    certificate_key: Path | None = None
    """file with the certificate's private key, if that is not in the same file"""
    origins: Origins = ()
    """web pages, such as `https://example.org`, that may connect besides our own and those of this machine"""
    hosts: Texts = ()
    """names, besides `localhost`, under which a server on loopback may be asked for"""
    public_url: HttpAddress = ""
    """address, such as `https://voice.example.org`, under which a proxy or tunnel lets others in, with a key"""
    webhook: HttpAddress = ""
    """address that receives `realtime.call.incoming` when a call rings, signed with the webhook's secret"""

    @model_validator(mode="after")
    def _check_certificate(self) -> Self:
        if self.certificate_key and not self.certificate:
            raise ValueError("certificate_key has no certificate; name the file that has it in certificate")
        return self

    @property
    def is_local(self) -> bool:
        """Whether the server can only be reached from this machine."""
        return is_loopback(self.host)

    @property
    def names(self) -> tuple[str, ...]:
        """Names, besides `localhost`, under which a server on loopback may be asked for."""
        public = urlsplit(self.public_url).hostname
        return (*self.hosts, public) if public else self.hosts

    @property
    def has_tls(self) -> bool:
        """Whether the server speaks HTTPS."""
        return self.https or self.certificate is not None

    @property
    def scheme(self) -> str:
        """The scheme of the server's URL."""
        return "https" if self.has_tls else "http"

    @property
    def own_certificate(self) -> Path:
        """The file with the certificate that the server makes for itself."""
        return self.data.absolute() / "https" / "server.pem"


class WebRtcTable(SettingsTable):
    """`[webrtc]`: servers that connect callers by WebRTC where there is no direct way."""

    stun: Annotated[
        str | None, matching(r"^stun:[^?\s]+$", "an address such as stun:stun.example.org:3478")
    ] = None
    """server that returns our address on the internet, such as `stun:stun.example.org:3478`"""
    turn: Annotated[
        str | None,
        matching(
            r"^turns?:[^?\s]+(\?transport=(udp|tcp))?$",
            "an address such as turn:turn.example.org:3478?transport=udp",
        ),
    ] = None
    """relay where nothing else gets through, such as `turn:turn.example.org:3478?transport=udp`"""
    turn_username: str | None = None
    """our name at the relay"""
    turn_credential: SecretStr | None = None
    """the relay's password; only from the environment"""


class Slot(BaseModel):
    """One of the tables `SLOTS`, such as `[vad]` or `[chat]`: the provider of a role, and its settings."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    provider: str
    """name of the provider; all else in the table is that provider's own"""

    @property
    def settings(self) -> dict[str, object]:
        """The provider's own table, to be read by `registry.settings_for`."""
        return dict(self.model_extra or {})


class SessionTable(SettingsTable):
    """`[session]`: the session unless its client changes it (`session.update`)."""

    instructions: str = (
        "You are a friendly assistant who talks with people by voice. "
        "Answer in one or two short spoken sentences. If you do not know, say so."
    )
    """instructions of the chat model"""
    instructions_url: HttpAddress = ""
    """web service that is asked for the instructions of each conversation, if there are no others"""
    instructions_file: Path | None = None
    """file with the instructions, read for each conversation, if there are no others"""
    voice: str | None = None
    """voice of the answers; without one the synthesizer uses its own"""
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0
    """speed of the answers, 0.25 to 1.5"""
    language: Annotated[
        str | None, matching(r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$", "a code of ISO 639-1, such as 'en' or 'hi'")
    ] = None
    """language of the callers as ISO 639-1, for the transcriber"""
    transcription: bool = True
    """whether clients are sent what the caller said"""
    turn_detection: Table = BASE["session"]["turn_detection"]
    """`type` is `semantic_vad`, `server_vad` or `none`; the rest is as in the protocol"""

    @field_validator("turn_detection")
    @classmethod
    def _check_turn_detection(cls, table: Table) -> Table:
        try:
            detection = _turn_detection(table)
            check_session(Session(audio=SessionAudio(input=InputSettings(turn_detection=detection))))
        except msgspec.ValidationError as error:
            kind = _TURN_DETECTIONS[str(table["type"])]
            raise ValueError(" ".join(msgspec_problem(error, table, kind)).strip()) from error
        except ProtocolError as error:
            raise ValueError(str(error)) from error
        return table

    @property
    def has_own_instructions(self) -> bool:
        """Whether `instructions` were written, so that nobody else is asked for some."""
        return "instructions" in self.model_fields_set and bool(self.instructions.strip())

    def session(self) -> Session:
        """Return these settings as the protocol's, to be merged into its defaults."""
        transcription = TranscriptionSettings(language=self.language or msgspec.UNSET)
        audio_input = InputSettings(
            turn_detection=_turn_detection(self.turn_detection),
            transcription=transcription if self.transcription else None,
        )
        output = OutputSettings(voice=self.voice or msgspec.UNSET, speed=self.speed)
        return Session(instructions=self.instructions, audio=SessionAudio(input=audio_input, output=output))


class RemoteTable(SettingsTable):
    """`[remote]`: the upstream server of the Realtime protocol that answers where `engine` is `remote`."""

    server: str = "openai"
    """`openai`, `azure`, or the address of another server of the protocol, such as `wss://voice.example.org/v1`"""
    model: str = "gpt-realtime"
    """its model; at Azure, the name of the deployment"""
    transcriber: str = "gpt-4o-mini-transcribe"
    """its model that transcribes the user, where the client names none; at Azure, the name of a deployment"""
    key_env: str = ""
    """variable with the key, if it is not `OPENAI_API_KEY`, `AZURE_OPENAI_API_KEY` or `VIVAVOCE_REMOTE_KEY`"""
    endpoint: str = ""
    """Azure's endpoint, such as `https://name.openai.azure.com`; without it, `AZURE_OPENAI_ENDPOINT` is used"""
    api_version: str = ""
    """Azure's version; one with a date means its preview, and its beta dialect"""
    dialect: Literal["ga", "beta"] = "ga"
    """what the server speaks; `beta` is for servers that do not know GA"""
    failover: bool = False
    """whether the models of this machine answer while the server is down; then they are loaded"""

    @field_validator("server")
    @classmethod
    def _check_server(cls, server: str) -> str:
        parts = urlsplit(server)
        is_address = parts.scheme in ("ws", "wss", "http", "https") and parts.hostname and parts.port != 0
        if server not in _KEYS and not is_address:
            known = alternatives(server, ("openai", "azure"))
            raise ValueError(f"{server!r} is no address of a server (ws://…, wss://…); {known}")
        if parts.username or {name.lower() for name, _ in parse_qsl(parts.query)} & _SECRETS:
            raise ValueError(f"it has a key; write {_OTHERS_KEY}=… into the environment or into .env")
        return server

    @property
    def key_variable(self) -> str:
        """The variable with the key."""
        return self.key_env or _KEYS.get(self.server, _OTHERS_KEY)

    @property
    def needs_key(self) -> bool:
        """Whether the server accepts no connection without a key."""
        return self.server in _KEYS or bool(self.key_env)

    @property
    def about(self) -> str:
        """What answers, for people."""
        names = {"openai": "OpenAI", "azure": "Azure"}
        return f"{self.model} at {names.get(self.server) or urlsplit(self.server).netloc}"


class StoreTable(SettingsTable):
    """`[store]`: where conversations are written down."""

    enabled: bool = True
    """whether conversations are written down"""
    url: str = ""
    """the database, such as `postgresql://host/name`; without it, `conversations.db` in `[server] data`"""
    events: bool = True
    """whether all events of a conversation are written down too, for replay and for reports"""
    keep_days: Annotated[float, Field(ge=0)] = 0
    """days after which a conversation is deleted; 0 keeps it"""
    keep_bytes: ByteSize = ByteSize(0)
    """bytes, such as `50 GB`, that database and sound may take; then the oldest conversations are deleted"""
    recordings: bool = True
    """whether the sound is recorded"""
    recordings_url: str = ""
    """folder or URL, such as `s3://calls/2026`, of recordings; without it, `recordings` in `[server] data`"""
    redact: Annotated[str, matching(r"^$|^[\w.]+:\w+$", "a function such as my_company.privacy:redact")] = ""
    """a function that returns each text as it may be written down, such as `my_company.privacy:redact`"""


class McpTable(SettingsTable):
    """`[mcp]`: which MCP servers a client may have us call (`tools: [{"type": "mcp"}]`)."""

    servers: HttpAddresses = ()
    """addresses, such as `https://tools.example.org/mcp`, that clients may name, with all that lies below"""
    allow: Literal["auto", "listed", "any"] = "auto"
    """`listed`: those in `servers`; `any`: all; `auto`: all where only this machine comes in, without a key"""


class Config(SettingsTable):
    """All settings. `Config()` is the default and reads nothing; `loading.load` reads what is configured."""

    preset: Literal["offline", "scripted", "openai-realtime", "azure-realtime"] = "offline"
    """`offline`: models on this machine; `scripted`: deterministic answers, for tests; or a server's model"""
    engine: Literal["cascade", "remote"] = "cascade"
    """who answers: `cascade`, the models of the tables below; `remote`, the server of `[remote]`"""
    keys: SecretStr = SecretStr("")
    """keys, separated by commas, of which a client must send one; only from the environment"""
    webhook_secret: SecretStr = SecretStr("")
    """signs requests to `[server] webhook`, such as `whsec_…`; only from the environment"""
    twilio_token: SecretStr = SecretStr("")
    """Twilio's auth token, for its signatures, and to transfer calls; only from the environment"""
    signalwire_key: SecretStr = SecretStr("")
    """SignalWire's signing key; only from the environment"""
    plivo_token: SecretStr = SecretStr("")
    """Plivo's auth token, for its signatures; only from the environment"""
    telnyx_public_key: SecretStr = SecretStr("")
    """Telnyx's public key, for its signatures; only from the environment"""
    vonage_secret: SecretStr = SecretStr("")
    """Vonage's signature secret; only from the environment"""
    ami_secret: SecretStr = SecretStr("")
    """secret of the user of `[telephone] ami`; only from the environment"""
    telephone_webhook_secret: SecretStr = SecretStr("")
    """sent to `[telephone] webhook` with each request; only from the environment"""
    sip_secret: SecretStr = SecretStr("")
    """password of `[telephone] sip_account`; only from the environment"""
    server: ServerTable = ServerTable()
    vad: Slot = Slot(provider="silero")
    turn: Slot = Slot(provider="smart-turn")
    transcriber: Slot = Slot(provider="moonshine")
    chat: Slot = Slot(provider="qwen")
    synthesizer: Slot = Slot(provider="hibari")
    denoiser: Slot = Slot(provider="auto")
    session: SessionTable = SessionTable()
    webrtc: WebRtcTable = WebRtcTable()
    telephone: TelephoneTable = TelephoneTable()
    mcp: McpTable = McpTable()
    remote: RemoteTable = RemoteTable()
    store: StoreTable = StoreTable()
    tools: ToolsTable = ToolsTable()
    limits: Limits = Limits()

    @field_validator("limits", mode="before")
    @classmethod
    def _check_limit_names(cls, table: object) -> object:
        known = {field.name for field in fields(Limits)}
        if isinstance(table, Mapping) and (unknown := sorted(set(table) - known)):
            raise ValueError(f"{unknown[0]} is not a limit; {alternatives(unknown[0], known)}")
        return table

    @field_validator("limits")
    @classmethod
    def _check_limits(cls, limits: Limits) -> Limits:
        for field in fields(limits):
            if not 0 < getattr(limits, field.name) < inf:  # not a number is neither
                raise ValueError(f"{field.name} must be more than 0, and finite")
        return limits

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        server = self.server
        where = f"host {server.host} can" if not server.is_local else f"public_url {server.public_url} can"
        if (not server.is_local or server.public_url) and not self.secrets:
            raise ValueError(
                f"server.{where} be reached from other machines, so a key is needed; "
                "write VIVAVOCE_KEYS=some-long-secret into the environment or into .env"
            )
        return self

    @model_validator(mode="after")
    def _check_webhook_secret(self) -> Self:
        secret = self.webhook_secret.get_secret_value()
        if self.server.webhook and not secret:
            raise ValueError(
                f"requests to server.webhook {self.server.webhook} must be signed; "
                "write VIVAVOCE_WEBHOOK_SECRET=whsec_… into the environment or into .env"
            )
        if secret.startswith("whsec_"):
            try:
                b64decode(secret.removeprefix("whsec_"), validate=True)
            except ValueError as error:
                raise ValueError("VIVAVOCE_WEBHOOK_SECRET: what follows whsec_ is not base64") from error
        return self

    @model_validator(mode="after")
    def _check_ami_secret(self) -> Self:
        if self.telephone.ami and not self.ami_secret.get_secret_value():
            raise ValueError(
                f"telephone.ami {self.telephone.ami} needs the secret of its user; "
                "write VIVAVOCE_AMI_SECRET=… into the environment or into .env"
            )
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys, of which a client must send one; empty means that no key is required."""
        return tuple(key for part in self.keys.get_secret_value().split(",") if (key := part.strip()))

    @property
    def carrier_secrets(self) -> Mapping[str, str]:
        """What telephone carriers sign their requests with, by carrier; empty where it is not known."""
        secrets = {name: getattr(self, field) for name, field in CARRIER_SECRETS.items()}
        return {name: secret.get_secret_value().strip() for name, secret in secrets.items()}

    @property
    def mcp_servers(self) -> tuple[str, ...] | None:
        """Addresses of the MCP servers that clients may name; None is any.

        A client that names one has this machine send requests there. Where only programs of this machine can be
        clients, they could as well send them themselves.
        """
        server = self.server
        alone = server.is_local and not (self.secrets or server.names or server.origins)
        return None if self.mcp.allow == "any" or (self.mcp.allow == "auto" and alone) else self.mcp.servers

    @property
    def store_url(self) -> str:
        """The URL of the database."""
        return self.store.url or f"sqlite:///{self.server.data.absolute() / 'conversations.db'}"

    @property
    def has_cascade(self) -> bool:
        """Whether the models of this machine answer, at least while a remote server is down."""
        return self.engine == "cascade" or self.remote.failover

    def slot(self, role: str) -> Slot:
        """Return the table of a role, one of `SLOTS`."""
        slot = getattr(self, role)
        if not isinstance(slot, Slot):
            raise KeyError(role)
        return slot


def _turn_detection(table: Table) -> TurnDetection | None:
    """Read `session.turn_detection`; `none` leaves it to the client to say when a turn is over."""
    if table.get("type") == "none":
        return None
    if table.get("type") not in _TURN_DETECTIONS:
        kind = table.get("type")
        raise ValueError(f"type cannot be {kind!r}; {alternatives(kind, ('none', *_TURN_DETECTIONS))}")
    detection = cast("TurnDetection", msgspec.convert(table, TurnDetection, strict=False))
    known = {"type", *type(detection).__struct_fields__}
    if unknown := sorted(set(table) - known):
        raise ValueError(f"{unknown[0]} is not a setting of {table['type']}; {alternatives(unknown[0], known)}")
    return detection
