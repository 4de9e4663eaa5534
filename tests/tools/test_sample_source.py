"""The tool source that the page for contributors shows does what it says."""

import httpx
import pytest

from samples.catalogue_tools import CatalogueTools
from tools.support import model, said
from vivavoce.errors import ProviderError
from vivavoce.protocol.session import Session
from vivavoce.providers.base import ToolCall
from vivavoce.testing.simulation import CallerSays, Simulation
from vivavoce.tools.registry import ToolRegistry
from vivavoce.tools.toolbox import Toolbox
from vivavoce.tools.types import Context, ToolError

pytestmark = pytest.mark.anyio

STOCK = {"name": "stock", "description": "How many are left.", "parameters": {"type": "object"}}


class Catalogue:
    """A catalogue over HTTP, which may be down."""

    is_up = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.is_up:
            return httpx.Response(503)
        if request.method == "GET":
            return httpx.Response(200, json=[STOCK])
        return httpx.Response(200, text=f"Seven left of {request.content.decode()}.")


def source(catalogue: Catalogue) -> CatalogueTools:
    transport = httpx.MockTransport(catalogue)
    return CatalogueTools("shop", httpx.AsyncClient(transport=transport, base_url="https://shop.example"))


async def test_a_source_adds_its_tools_to_every_conversation() -> None:
    registry = ToolRegistry([], [source(Catalogue())])
    await registry.load()
    simulation = Simulation(
        [model(ToolCall("stock", '{"of":"lamps"}'))],
        middleware=lambda caller: Toolbox(registry.tools()),
        client_session=Session(tools=()),
    )
    timeline = await simulation.run(CallerSays(0.5, "How many lamps are left?"), until=5)
    assert said(timeline) == ['So: Seven left of {"of":"lamps"}.']


async def test_its_tools_get_other_names_where_theirs_are_taken() -> None:
    registry = ToolRegistry([], [source(Catalogue())])
    await registry.load()
    assert [tool.name for tool in registry.tools({"stock"})] == ["shop_stock"]


async def test_a_source_that_is_down_is_loaded_again() -> None:
    catalogue = Catalogue()
    catalogue.is_up = False
    with pytest.raises(ProviderError, match="no tools"):
        await source(catalogue).load()
    registry = ToolRegistry([], [source(catalogue)])
    await registry.wait_loaded()
    assert registry.tools() == []
    catalogue.is_up = True
    await registry.load()
    catalogue.is_up = False
    (tool,) = registry.tools()
    with pytest.raises(ToolError, match="does not answer"):
        await tool.run("{}", Context("call_1", "caller_1", {}, silence))


async def silence(words: str) -> None:
    raise AssertionError("nothing was to be spoken")
