"""Talk with an AI by voice, from anywhere, on any models.

Everything speaks one language, the OpenAI Realtime protocol: an engine that answers sits at one end of a
`Line`, a transport that carries a person at the other. The documentation describes the rooms of the house.
"""

from importlib.metadata import version

from vivavoce.errors import ConfigError, ProtocolError, ProviderError, VivavoceError
from vivavoce.limits import Limits
from vivavoce.line import Heard, HungUp, Line, Listener, open_line

__all__ = [
    "ConfigError",
    "Heard",
    "HungUp",
    "Limits",
    "Line",
    "Listener",
    "ProtocolError",
    "ProviderError",
    "VivavoceError",
    "open_line",
]

__version__ = version("vivavoce")
