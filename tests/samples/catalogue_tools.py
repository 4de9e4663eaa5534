# [start:source]
from collections.abc import Sequence

import httpx

from vivavoce import Context, Outcome, ProviderError, Tool, ToolError


class CatalogueTools:
    """The tools of a catalogue: `GET /tools` lists them, `POST /tools/{name}` calls one."""

    def __init__(self, label: str, client: httpx.AsyncClient) -> None:
        self.label, self._client = label, client

    async def load(self) -> Sequence[Tool]:
        try:
            listed = (await self._client.get("/tools")).raise_for_status().json()
        except httpx.HTTPError as error:
            raise ProviderError(self.label, f"no tools: {error}") from error
        return [self._tool(**one) for one in listed]

    def _tool(self, name: str, description: str, parameters: dict[str, object]) -> Tool:
        async def run(arguments: str, context: Context) -> Outcome:
            try:
                response = await self._client.post(f"/tools/{name}", content=arguments)
                return Outcome(response.raise_for_status().text)
            except httpx.HTTPError as error:
                raise ToolError("The catalogue does not answer.") from error

        return Tool(name, description, parameters, run)


# [end:source]
