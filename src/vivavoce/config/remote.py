"""`[remote]`: the upstream server that answers where `engine` is `remote`."""

from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import field_validator

from vivavoce.config.base import SettingsTable

_KEYS = {"openai": "OPENAI_API_KEY", "azure": "AZURE_OPENAI_API_KEY"}
_OTHERS_KEY = "VIVAVOCE_REMOTE_KEY"
_SECRETS = {"api-key", "key", "token"}


class RemoteTable(SettingsTable):
    """`[remote]`: a server of the Realtime protocol, and how to connect to it."""

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
        if server not in _KEYS and parts.scheme not in ("ws", "wss", "http", "https"):
            raise ValueError(f"{server!r} is not openai, azure, or the address of a server (ws://…, wss://…)")
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
