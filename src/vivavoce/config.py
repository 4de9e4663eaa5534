"""What the owner chose: one `vivavoce.toml`, the environment, the command line, and a default for everything.

The empty file is a local, keyless assistant. A later layer wins over an earlier one, value by value:
defaults, preset, file, `.env`, environment, command line. Every value remembers where it came from.
"""

import os
import tomllib
from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import msgspec
from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.protocol.session import (
    InputSettings,
    OutputSettings,
    Session,
    SessionAudio,
    TranscriptionSettings,
    TurnDetection,
)

__all__ = [
    "FILE",
    "PRESETS",
    "SLOTS",
    "Config",
    "Loaded",
    "McpTable",
    "ServerTable",
    "SessionTable",
    "Slot",
    "WebRtcTable",
    "is_loopback",
    "load",
]

FILE = "vivavoce.toml"
SLOTS = ("vad", "turn", "transcriber", "chat", "synthesizer", "denoiser")

Table = Mapping[str, object]

_BASE: Mapping[str, Mapping[str, Table]] = {"session": {"turn_detection": {"type": "semantic_vad"}}}

PRESETS: Mapping[str, Table] = {
    "offline": {
        "vad": {"provider": "silero"},
        "turn": {"provider": "smart-turn"},
        "transcriber": {"provider": "moonshine"},
        "chat": {"provider": "qwen"},
        "synthesizer": {"provider": "hibari"},
        "denoiser": {"provider": "auto"},
    },
    "scripted": {
        "vad": {"provider": "silero"},
        "turn": {"provider": "scripted"},
        "transcriber": {"provider": "scripted"},
        "chat": {"provider": "scripted"},
        "synthesizer": {"provider": "scripted"},
        "denoiser": {"provider": "none"},
    },
}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ServerTable(_Table):
    """`[server]`: where it listens, and to whom."""

    host: str = "127.0.0.1"
    """address to listen on; beyond loopback a key is required"""
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    """port to listen on; 0 takes any free one"""
    data: Path = Field(default_factory=lambda: user_data_path("vivavoce", appauthor=False))
    """folder for what vivavoce writes down"""
    origins: tuple[str, ...] = ()
    """web pages, such as `https://example.org`, that may connect besides our own and those of this machine"""
    hosts: tuple[str, ...] = ()
    """names, besides `localhost`, under which a server on loopback may be asked for"""
    webhook: str = ""
    """address that is told when a call rings (`realtime.call.incoming`), signed with the webhook's secret"""

    @field_validator("origins", "hosts", mode="before")
    @classmethod
    def _may_be_separated_by_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("webhook")
    @classmethod
    def _is_on_the_web(cls, webhook: str) -> str:
        if webhook and not webhook.startswith(("http://", "https://")):
            raise ValueError(f"{webhook} is not an http or https address")
        return webhook

    @property
    def is_local(self) -> bool:
        """Say whether only this machine can reach it."""
        return is_loopback(self.host)


class WebRtcTable(_Table):
    """`[webrtc]`: who helps callers by WebRTC to find a way to us, where there is none straight."""

    stun: Annotated[str | None, Field(pattern=r"^stun:[^?\s]+$")] = None
    """server that tells us our address on the internet, such as `stun:stun.example.org:3478`"""
    turn: Annotated[str | None, Field(pattern=r"^turns?:[^?\s]+(\?transport=(udp|tcp))?$")] = None
    """server that relays where nothing else gets through, such as `turn:turn.example.org:3478?transport=udp`"""
    turn_username: str | None = None
    """who we are to the relay"""
    turn_credential: SecretStr | None = None
    """the relay's password; only from the environment"""


class Slot(BaseModel):
    """One of the tables `SLOTS`, such as `[vad]` or `[chat]`: who does it, and how."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    provider: str
    """name of the provider; all else in the table is that provider's own"""

    @property
    def settings(self) -> dict[str, object]:
        """The provider's own table, to be read by `registry.settings_for`."""
        return dict(self.model_extra or {})


class SessionTable(_Table):
    """`[session]`: how a conversation is held unless its client says otherwise (`session.update`)."""

    instructions: str = (
        "You are a friendly assistant who talks with people by voice. "
        "Answer in one or two short spoken sentences. If you do not know, say so."
    )
    """what the chat model is told"""
    voice: str | None = None
    """voice of the answers; without one the synthesizer uses its own"""
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0
    """speed of the answers, 0.25 to 1.5"""
    language: str | None = None
    """language of the callers as ISO 639-1, where the transcriber wants to know"""
    transcription: bool = True
    """whether clients are sent what the caller said"""
    turn_detection: Table = _BASE["session"]["turn_detection"]
    """`type` is `semantic_vad`, `server_vad` or `none`; the rest is as in the protocol"""

    @field_validator("turn_detection")
    @classmethod
    def _is_known_to_the_protocol(cls, table: Table) -> Table:
        try:
            _turn_detection(table)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error
        return table

    def session(self) -> Session:
        """Return these settings as the protocol's, to be merged into its defaults."""
        transcription = TranscriptionSettings(language=self.language or msgspec.UNSET)
        hearing = InputSettings(
            turn_detection=_turn_detection(self.turn_detection),
            transcription=transcription if self.transcription else None,
        )
        speaking = OutputSettings(voice=self.voice or msgspec.UNSET, speed=self.speed)
        return Session(instructions=self.instructions, audio=SessionAudio(input=hearing, output=speaking))


class McpTable(_Table):
    """`[mcp]`: which servers of tools a client may have us ask (`tools: [{"type": "mcp"}]`)."""

    servers: tuple[str, ...] = ()
    """addresses, such as `https://tools.example.org/mcp`, that clients may name, with all that lies below"""
    allow: Literal["auto", "listed", "any"] = "auto"
    """`listed`: those in `servers`; `any`: all; `auto`: all where only this machine comes in, without a key"""

    @field_validator("servers", mode="before")
    @classmethod
    def _may_be_separated_by_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("servers")
    @classmethod
    def _are_addresses(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            if not server.startswith(("http://", "https://")):
                raise ValueError(f"{server} is not the http or https address of a server")
        return servers


class Config(_Table):
    """All that can be set. `Config()` is the default and reads nothing; `load` reads the layers."""

    preset: Literal["offline", "scripted"] = "offline"
    """`offline`: models on this machine; `scripted`: no models, predictable answers, for tests of clients"""
    keys: SecretStr = SecretStr("")
    """keys, separated by commas, of which a client must show one; only from the environment"""
    webhook_secret: SecretStr = SecretStr("")
    """what `[server] webhook` knows us by, such as `whsec_…`; only from the environment"""
    server: ServerTable = ServerTable()
    vad: Slot = Slot(provider="silero")
    turn: Slot = Slot(provider="smart-turn")
    transcriber: Slot = Slot(provider="moonshine")
    chat: Slot = Slot(provider="qwen")
    synthesizer: Slot = Slot(provider="hibari")
    denoiser: Slot = Slot(provider="auto")
    session: SessionTable = SessionTable()
    webrtc: WebRtcTable = WebRtcTable()
    mcp: McpTable = McpTable()
    limits: Limits = Limits()

    @field_validator("limits", mode="before")
    @classmethod
    def _limits_are_known(cls, table: object) -> object:
        known = {field.name for field in fields(Limits)}
        if isinstance(table, Mapping) and (strange := sorted(set(table) - known)):
            raise ValueError(f"{strange[0]} is not a limit; there are: {', '.join(sorted(known))}")
        return table

    @field_validator("limits")
    @classmethod
    def _limits_are_positive(cls, limits: Limits) -> Limits:
        for field in fields(limits):
            if getattr(limits, field.name) <= 0:
                raise ValueError(f"{field.name} must be more than 0")
        return limits

    @model_validator(mode="after")
    def _the_world_needs_a_key(self) -> Self:
        if not self.server.is_local and not self.secrets:
            raise ValueError(
                f"server.host {self.server.host} can be reached from other machines, so a key is needed; "
                "write VIVAVOCE_KEYS=some-long-secret into the environment or into .env"
            )
        return self

    @model_validator(mode="after")
    def _a_webhook_needs_a_secret(self) -> Self:
        secret = self.webhook_secret.get_secret_value()
        if self.server.webhook and not secret:
            raise ValueError(
                f"server.webhook {self.server.webhook} must know that it is us who tells it; "
                "write VIVAVOCE_WEBHOOK_SECRET=whsec_… into the environment or into .env"
            )
        if secret.startswith("whsec_"):
            try:
                b64decode(secret.removeprefix("whsec_"), validate=True)
            except ValueError as error:
                raise ValueError("VIVAVOCE_WEBHOOK_SECRET: what follows whsec_ is not base64") from error
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys, of which a client must show one; empty means that none is asked for."""
        return tuple(key for part in self.keys.get_secret_value().split(",") if (key := part.strip()))

    @property
    def mcp_servers(self) -> tuple[str, ...] | None:
        """Addresses of the MCP servers that clients may name; None is any.

        Whoever names one has this machine send requests there. Where only this machine's own programs can ask
        for that, they could as well do it themselves.
        """
        server = self.server
        alone = server.is_local and not (self.secrets or server.hosts or server.origins)
        return None if self.mcp.allow == "any" or (self.mcp.allow == "auto" and alone) else self.mcp.servers

    def slot(self, role: str) -> Slot:
        """Return the table of a role, one of `SLOTS`."""
        slot = getattr(self, role)
        if not isinstance(slot, Slot):
            raise KeyError(role)
        return slot


@dataclass(frozen=True)
class Loaded:
    """The configuration, and where each value came from."""

    config: Config
    file: Path | None
    origins: Mapping[str, str]

    def origin(self, path: str) -> str:
        """Say where the value at a path such as `chat.provider` came from; of a table, where its first did."""
        below = (origin for known, origin in self.origins.items() if known.startswith(f"{path}."))
        return self.origins.get(path) or next(below, "default")


class _Environment(Config, BaseSettings):
    """Names the environment's variables for pydantic-settings; nobody makes one."""

    model_config = SettingsConfigDict(env_prefix="VIVAVOCE_", env_nested_delimiter="__", enable_decoding=False)


def load(
    *,
    file: Path | None = None,
    flags: Table | None = None,
    dotenv: Path = Path(".env"),
) -> Loaded:
    """Read all layers. `file` must exist if named; else `vivavoce.toml` of this folder is read if it is there.

    `flags` are the command line's values, as tables. What `.env` names is put into the process's environment
    unless it is there already, so that providers find their keys. Raises `ConfigError`.
    """
    found = file or (Path(FILE) if Path(FILE).is_file() else None)
    from_dotenv = _read_dotenv(dotenv)
    higher = [
        ("environment", _from_environment()),
        ("command line", flags or {}),
    ]
    if found:
        higher.insert(0, (str(found), _from_file(found)))
    preset = _preset([table for _, table in higher])
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, table in [("default", _BASE), (f"preset {preset}", PRESETS[preset]), *higher]:
        _lay(merged, table, origin, origins)
    _name_variables(origins, from_dotenv)
    try:
        return Loaded(Config(**merged), found, origins)
    except ValidationError as error:
        raise ConfigError(_sentence(error, Loaded(Config(), found, origins))) from error


def is_loopback(host: str) -> bool:
    """Say whether a host name or address means this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _turn_detection(table: Table) -> TurnDetection | None:
    """Read `session.turn_detection`; `none` leaves it to the client to say when a turn is over."""
    if table.get("type") == "none":
        return None
    detection = cast("TurnDetection", msgspec.convert(table, TurnDetection, strict=False))
    known = {"type", *type(detection).__struct_fields__}
    if strange := sorted(set(table) - known):
        raise ValueError(
            f"{strange[0]} is not a setting of {table['type']}; it knows: {', '.join(sorted(known))}"
        )
    return detection


def _read_dotenv(path: Path) -> set[str]:
    """Put what `.env` names into the environment unless it is there; return which names were."""
    written = dotenv_values(path) if path.is_file() else {}
    new = {name: value for name, value in written.items() if value is not None and name not in os.environ}
    os.environ.update(new)
    return set(new)


def _from_environment() -> Table:
    tables = {f"VIVAVOCE_{name.upper()}__" for name in Config.model_fields}
    for name in os.environ:
        if name.startswith("VIVAVOCE_") and "__" in name and not name.startswith(tuple(tables)):
            raise ConfigError(f"{name} names no table; there are: {', '.join(Config.model_fields)}.")
    return EnvSettingsSource(_Environment)()


def _from_file(path: Path) -> Table:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    if "turn_credential" in table.get("webrtc", ()):
        variable = "VIVAVOCE_WEBRTC__TURN_CREDENTIAL=…"
        raise ConfigError(f"{path}: [webrtc] turn_credential is a secret; write {variable} into .env.")
    for name in table.keys() & {"keys", "webhook_secret"}:
        variable = f"VIVAVOCE_{name.upper()}=…"
        raise ConfigError(f"{path}: {name} is secret; write {variable} into the environment or into .env.")
    return table


def _preset(tables: Sequence[Table]) -> str:
    """Return the preset that the highest of these layers names."""
    name = next((table["preset"] for table in reversed(tables) if "preset" in table), "offline")
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}; there are: {', '.join(PRESETS)}.")
    return name


def _lay(below: dict[str, Any], above: Table, origin: str, origins: dict[str, str], path: str = "") -> None:
    """Lay one layer over those below it. A table that names another provider or type starts anew."""
    if any(key in above and key in below and above[key] != below[key] for key in ("provider", "type")):
        below.clear()
        for old in [known for known in origins if known.startswith(path)]:
            del origins[old]
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.setdefault(key, {}), dict):
            _lay(below[key], value, origin, origins, f"{path}{key}.")
        else:
            below[key] = value
            origins[f"{path}{key}"] = origin


def _name_variables(origins: dict[str, str], from_dotenv: Collection[str]) -> None:
    for path in [path for path, origin in origins.items() if origin == "environment"]:
        variable = "VIVAVOCE_" + path.replace(".", "__").upper()
        origins[path] = f"{variable} in {'.env' if variable in from_dotenv else 'the environment'}"


def _sentence(error: ValidationError, loaded: Loaded) -> str:
    """Say which value is wrong, where it was written, and what it should be."""
    first = error.errors(include_url=False)[0]
    *tables, key = [str(part) for part in first["loc"]] or [""]
    message = first["msg"].removeprefix("Value error, ")
    if not key:
        return f"{message}."
    path = ".".join([*tables, key])
    origin = loaded.origin(path)
    place = f"[{'.'.join(tables)}] {key}" if tables else key
    if first["type"] == "extra_forbidden":
        known = sorted(_known(tables))
        return f"{origin}: {place} is not a setting; there are: {', '.join(known)}."
    return f"{origin}: {place}: {message}."


def _known(tables: Sequence[str]) -> Collection[str]:
    models: dict[str, type[BaseModel]] = {
        "": Config,
        "server": ServerTable,
        "session": SessionTable,
        "webrtc": WebRtcTable,
        "mcp": McpTable,
    }
    return models[".".join(tables)].model_fields
