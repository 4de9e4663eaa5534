"""Calling a server of the Realtime protocol, wherever it is and whichever dialect it speaks."""

from vivavoce.connect.backoff import backoff
from vivavoce.connect.endpoint import Place, azure, openai, place
from vivavoce.connect.websocket import FarLine, dial

__all__ = ["FarLine", "Place", "azure", "backoff", "dial", "openai", "place"]
