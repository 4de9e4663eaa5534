"""Whom `[remote]` names: where their server is, with which key, and the engine that lets them answer."""

import os
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit

from vivavoce.config.remote import RemoteTable
from vivavoce.connect import Endpoint, azure, connect, endpoint_at, openai
from vivavoce.engines.remote import Remote
from vivavoce.engines.remote.options import Settings
from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.protocol.dialects import BETA, GA
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.session.line import Line

__all__ = ["endpoint_of", "remote"]

ENTRA_TOKEN = "AZURE_OPENAI_AD_TOKEN"  # noqa: S105 (the variable's name)


def endpoint_of(table: RemoteTable) -> Endpoint:
    """Return where the far end is. Raises `ConfigError` without what is needed to be let in there."""
    key = os.environ.get(table.key_variable, "").strip() or None
    beta = table.dialect == "beta"
    match table.server:
        case "openai":
            return openai(table.model, key=_needed(table, key), beta=beta)
        case "azure":
            token = None if key else os.environ.get(ENTRA_TOKEN)
            key = key if token else _needed(table, key)
            version = table.api_version or None
            return azure(table.endpoint or None, table.model, key=key, token=token, api_version=version)
        case url:
            shown = _needed(table, key) if table.needs_key else key
            there = endpoint_at(url, key=shown, dialect=BETA if beta else GA)
            return there.asking(model=table.model) if table.model else there


def _needed(table: RemoteTable, key: str | None) -> str:
    if key is None:
        write = f"write {table.key_variable}=… into the environment or into .env"
        raise ConfigError(f"[remote] {table.server} needs a key; {write}.")
    return key


def _writing_down(there: Endpoint) -> Endpoint:
    """Return the place where sessions only write down: they have no model but that which transcribes."""
    parts = urlsplit(there.url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "model"]
    without = replace(there, url=parts._replace(query=urlencode(query)).geturl())
    return without.asking(intent="transcription")


def remote(table: RemoteTable, session: Session, limits: Limits) -> Remote:
    """Return the engine that lets the far end answer. Raises `ConfigError` like `endpoint_of`."""
    there = endpoint_of(table)
    for_transcripts = _writing_down(there)

    def open_line(wanted: Settings) -> AbstractAsyncContextManager[Line]:
        where = for_transcripts if isinstance(wanted, TranscriptionSession) else there
        return connect(where, depth=limits.line_depth, message_bytes=limits.message_bytes)

    return Remote(open_line, there.name, session, limits, table.transcriber)
