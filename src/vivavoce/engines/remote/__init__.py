"""The remote engine: OpenAI, Azure, or another server of the protocol answers our callers."""

from vivavoce.engines.remote.engine import Remote

__all__ = ["Remote"]
