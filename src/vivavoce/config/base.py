"""What the tables of the configuration share: their base class, and kinds of values."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

Table = Mapping[str, object]
"""a table as it is written, before anything has read it"""


class SettingsTable(BaseModel):
    """A table of the configuration: it refuses settings that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _split(value: object) -> object:
    """Split what an environment variable separates by commas."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _check_http(address: str) -> str:
    if address and not address.startswith(("http://", "https://")):
        raise ValueError(f"{address} is not an http or https address")
    return address


HttpAddress = Annotated[str, AfterValidator(_check_http)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
HttpAddresses = Annotated[tuple[HttpAddress, ...], BeforeValidator(_split)]
