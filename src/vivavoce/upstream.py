"""The upstream server of `[remote]`: its endpoint with the key, and the remote engine for it."""

import os
from contextlib import AbstractAsyncContextManager

from vivavoce.addresses import is_plain
from vivavoce.config.schema import RemoteTable
from vivavoce.connect import Endpoint, azure, connect, endpoint_at, openai
from vivavoce.engines.remote.engine import Remote
from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.protocol.dialects import BETA, GA
from vivavoce.protocol.session import AnySession, Session, TranscriptionSession
from vivavoce.session.line import Line

ENTRA_TOKEN = "AZURE_OPENAI_AD_TOKEN"  # noqa: S105 (the variable's name)


def endpoint_of(table: RemoteTable) -> Endpoint:
    """Return the endpoint of the upstream server. Raises `ConfigError` if its key is missing."""
    key = os.environ.get(table.key_variable, "").strip() or None
    beta = table.dialect == "beta"
    token = None if key or table.server != "azure" else os.environ.get(ENTRA_TOKEN)
    if key and not is_plain(key):
        problem = f"the key in {table.key_variable} has more than printable ASCII characters"
        raise ConfigError(f"[remote] {problem}; copy it again.")
    if table.needs_key and not (key or token):
        write = f"write {table.key_variable}=… into the environment or into .env"
        raise ConfigError(f"[remote] {table.server} needs a key; {write}.")
    match table.server:
        case "openai":
            return openai(table.model, key=key, beta=beta)
        case "azure":
            version = table.api_version or None
            return azure(table.endpoint or None, table.model, key=key, token=token, api_version=version)
        case url:
            endpoint = endpoint_at(url, key=key, dialect=BETA if beta else GA)
            return endpoint.with_query(model=table.model) if table.model else endpoint


def remote(table: RemoteTable, session: Session, limits: Limits) -> Remote:
    """Return the remote engine for the upstream server. Raises `ConfigError` like `endpoint_of`."""
    endpoint = endpoint_of(table)
    # a session that only transcribes names no chat model, so the transcription model is used
    for_transcription = endpoint.with_query(without="model", intent="transcription")

    def open_line(settings: AnySession) -> AbstractAsyncContextManager[Line]:
        which = for_transcription if isinstance(settings, TranscriptionSession) else endpoint
        return connect(which, depth=limits.line_depth, message_bytes=limits.message_bytes)

    return Remote(open_line, endpoint.name, session, limits, table.transcriber)
