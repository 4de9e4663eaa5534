"""For people who write against us, or against OpenAI: so far, a line to any server of the Realtime protocol."""

from vivavoce.client.connection import connect

__all__ = ["connect"]
