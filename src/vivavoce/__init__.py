"""Talk with an AI by voice, from anywhere, on any models.

All parts exchange events of the OpenAI Realtime protocol. An engine, which answers, is at one end of a
`vivavoce.session.line.Line`; a transport, which connects a client, is at the other.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vivavoce.errors import ConfigError, ProtocolError, ProviderError, VivavoceError
from vivavoce.limits import Limits

if TYPE_CHECKING:
    from vivavoce.client import RealtimeClient
    from vivavoce.tools.function import tool
    from vivavoce.tools.types import Assistant, Card, Context, Outcome, Tool, ToolError

    __version__: str

__all__ = [
    "Assistant",
    "Card",
    "ConfigError",
    "Context",
    "Limits",
    "Outcome",
    "ProtocolError",
    "ProviderError",
    "RealtimeClient",
    "Tool",
    "ToolError",
    "VivavoceError",
    "tool",
]

_LAZY = {
    "RealtimeClient": "vivavoce.client",
    "tool": "vivavoce.tools.function",
    **dict.fromkeys(("Assistant", "Card", "Context", "Outcome", "Tool", "ToolError"), "vivavoce.tools.types"),
}
"""The modules of names that are imported only when first used, so that `import vivavoce` stays fast."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # imported here because it is slow to import

        return version(__name__)
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
