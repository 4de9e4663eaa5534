"""The base class of the configuration's tables, and kinds of values that they share."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator

from vivavoce.addresses import http_address

Table = Mapping[str, object]
"""a table as in the TOML file, before validation"""


class SettingsTable(BaseModel):
    """A table of the configuration, which rejects unknown settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_that_true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and kind in (int, float):
            raise ValueError(f"must be a number, not {str(value).lower()}")
        return value


def _split(value: object) -> object:
    """Split a value of an environment variable at commas."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def check_http(address: str) -> str:
    """Return an http or https address, which may be empty. Raises `ValueError` for another text."""
    if address:
        http_address(address)
    return address


def matching(pattern: str, form: str) -> AfterValidator:
    """Return a check that a text matches a pattern, which is described as `form`."""

    def check(text: str | None) -> str | None:
        if text is not None and not re.search(pattern, text):
            raise ValueError(f"{text!r} is not {form}")
        return text

    return AfterValidator(check)


HttpAddress = Annotated[str, AfterValidator(check_http)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
Origins = Annotated[
    tuple[
        Annotated[
            str, matching(r"^([a-z][a-z0-9+.-]*://[^/\s]+|null)$", "an origin such as https://example.org")
        ],
        ...,
    ],
    BeforeValidator(_split),
]
HttpAddresses = Annotated[tuple[HttpAddress, ...], BeforeValidator(_split)]
