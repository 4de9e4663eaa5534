"""The base class of the configuration's tables, and kinds of values that they share."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

Table = Mapping[str, object]
"""a table as in the TOML file, before validation"""


class SettingsTable(BaseModel):
    """A table of the configuration, which rejects unknown settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _split(value: object) -> object:
    """Split a value of an environment variable at commas."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _check_http(address: str) -> str:
    if address and not address.startswith(("http://", "https://")):
        raise ValueError(f"{address} is not an http or https address")
    return address


HttpAddress = Annotated[str, AfterValidator(_check_http)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
HttpAddresses = Annotated[tuple[HttpAddress, ...], BeforeValidator(_split)]
