"""Talk with an AI by voice, from anywhere, on any models.

Everything speaks one language, the OpenAI Realtime protocol: an engine that answers sits at one end of a
`vivavoce.line.Line`, a transport that carries a person at the other. The documentation describes the house.
"""

from importlib.metadata import version

from vivavoce.errors import ConfigError, ProtocolError, ProviderError, VivavoceError
from vivavoce.limits import Limits

__all__ = [
    "ConfigError",
    "Limits",
    "ProtocolError",
    "ProviderError",
    "VivavoceError",
]

__version__ = version("vivavoce")
