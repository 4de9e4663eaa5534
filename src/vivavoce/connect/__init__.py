"""The client side of the Realtime protocol: endpoints, WebSocket lines, reconnection, and history replay."""

from vivavoce.connect.endpoint import Endpoint, azure, endpoint_at, openai
from vivavoce.connect.websocket import RemoteLine, connect

__all__ = ["Endpoint", "RemoteLine", "azure", "connect", "endpoint_at", "openai"]
