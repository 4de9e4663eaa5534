"""Calling a server of the Realtime protocol, wherever it is and whichever dialect it speaks."""

from vivavoce.connect.endpoint import Endpoint, azure, endpoint_at, openai
from vivavoce.connect.websocket import RemoteLine, connect

__all__ = ["Endpoint", "RemoteLine", "azure", "connect", "endpoint_at", "openai"]
