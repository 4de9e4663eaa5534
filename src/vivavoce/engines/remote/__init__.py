"""The remote engine: OpenAI, Azure, or any server of the protocol answers, behind every transport of ours."""

from vivavoce.engines.remote.engine import Remote

__all__ = ["Remote"]
