"""Instructions that are read anew for each conversation: from a web service, or else from a file."""

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import anyio
import msgspec

from vivavoce.limits import Limits
from vivavoce.session.call import Caller

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

ID_HEADER = "x-avr-uuid"
"""the header with the call's id, as Agent Voice Response sends it"""

_NAME = re.compile(r"{(\w+)}", re.ASCII)


class _Answer(msgspec.Struct):
    system: str


@dataclass(frozen=True)
class InstructionSources:
    """Where the instructions of a conversation come from. One that fails is logged, and the next is asked.

    `url` is asked by GET with `ID_HEADER`, and answers with JSON whose `system` has the instructions. In its
    query, `{from}` and other names in braces stand for what is known of a call (`Caller.metadata`). Redirects
    are not followed: only the address that the owner has named is asked. `file` is read as text.
    """

    url: str = ""
    file: Path | None = None
    limits: Limits = field(default_factory=Limits)
    transport: "httpx.AsyncBaseTransport | None" = None

    async def read(self, caller: Caller) -> str | None:
        """Return the instructions for a caller within `limits.instructions_seconds`; None if there are none."""
        for name, ask in ((self.url, self._from_service), (self.file, self._from_file)):
            if not name:
                continue
            try:
                with anyio.fail_after(self.limits.instructions_seconds):
                    return await ask(caller)
            except TimeoutError:
                log.warning("instructions from %s take too long (limits.instructions_seconds)", name)
            except (OSError, ValueError) as error:
                log.warning("there are no instructions from %s: %s", name, error)
        return None

    async def _from_service(self, caller: Caller) -> str:
        import httpx

        headers = {"content-type": "application/json", ID_HEADER: caller.external_id or caller.id}
        try:
            async with (
                httpx.AsyncClient(transport=self.transport, trust_env=False) as client,
                client.stream("GET", self._url_for(caller), headers=headers) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise ValueError(f"it answers {response.status_code}")
                body = bytearray()
                async for part in response.aiter_bytes():
                    body += part
                    self._check_length(len(body) / 4)
            return self._checked(msgspec.json.decode(body, type=_Answer).system)
        except msgspec.MsgspecError as error:
            raise ValueError(f"its answer is no JSON with `system`: {error}") from error
        except httpx.HTTPError as error:
            raise OSError(str(error) or type(error).__name__) from error

    def _url_for(self, caller: Caller) -> str:
        """Return the URL for a caller. Nothing but the query depends on it, and no value adds to that."""
        address, mark, query = self.url.partition("?")
        return address + mark + _NAME.sub(lambda name: quote(caller.metadata.get(name[1], ""), safe=""), query)

    async def _from_file(self, _: Caller) -> str:
        return self._checked(await anyio.Path(self.file or "").read_text(encoding="utf-8"))

    def _checked(self, text: str) -> str:
        if not text.strip():
            raise ValueError("they are empty")
        self._check_length(len(text))
        return text

    def _check_length(self, chars: float) -> None:
        if chars > self.limits.text_chars:
            raise ValueError(f"they have more than {self.limits.text_chars:,} characters (limits.text_chars)")
