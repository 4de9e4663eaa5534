"""Calling a server of the Realtime protocol, wherever it is and whichever dialect it speaks."""

from vivavoce.dialing.backoff import backoff
from vivavoce.dialing.call import FarLine, dial
from vivavoce.dialing.places import Place, azure, openai, place

__all__ = ["FarLine", "Place", "azure", "backoff", "dial", "openai", "place"]
