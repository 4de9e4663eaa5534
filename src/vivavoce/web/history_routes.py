"""The routes of stored conversations, which are there without a store as well, to say that there is none."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vivavoce.limits import Limits
from vivavoce.web.conditional import json_response
from vivavoce.web.errors import HttpError
from vivavoce.web.operations import OPERATIONS
from vivavoce.web.requests import read_query

if TYPE_CHECKING:
    from vivavoce.store.recorder import Recorder

Handler = Callable[[Request, Any], Awaitable[object]]
"""Is called with a request and its query; returns a response, or what one is made of."""


def history_routes(recorder: "Recorder | None", limits: Limits) -> Sequence[Route]:
    """Return the routes; those with a literal path come before those with an id."""
    found = handlers(recorder, limits) if recorder else dict.fromkeys(OPERATIONS, _no_store)
    by_path: dict[str, dict[str, Handler]] = {}
    for name in OPERATIONS:
        method, _, path = name.partition(" ")
        if path.startswith("/v1/history"):
            by_path.setdefault(path, {})[method] = found[name]
    ordered = sorted(by_path.items(), key=lambda one: "{" in one[0])
    return [Route(path, _dispatch(path, own), methods=[*own]) for path, own in ordered]


def handlers(recorder: "Recorder", limits: Limits) -> dict[str, Handler]:
    """Return what answers each operation, by its name in `OPERATIONS`."""
    from vivavoce.web.endpoints.history import HistoryEndpoint  # needs the extra `store`
    from vivavoce.web.endpoints.history_export import HistoryExportEndpoint
    from vivavoce.web.endpoints.history_sound import HistorySoundEndpoint
    from vivavoce.web.store_access import StoreAccess

    store = StoreAccess(recorder, limits)
    history, sound = HistoryEndpoint(store), HistorySoundEndpoint(store)
    export = HistoryExportEndpoint(store, sound)
    return {
        "GET /v1/history": history.list,
        "DELETE /v1/history": history.delete_several,
        "GET /v1/history/search": history.search,
        "GET /v1/history/costs": history.costs,
        "GET /v1/history/statistics": history.statistics,
        "GET /v1/history/{id}": history.retrieve,
        "DELETE /v1/history/{id}": history.delete,
        "GET /v1/history/{id}/items": history.items,
        "GET /v1/history/{id}/timings": history.timings,
        "GET /v1/history/{id}/events": history.events,
        "GET /v1/history/{id}/audio": sound.audio,
        "GET /v1/history/{id}/export": export.export,
    }


def _dispatch(path: str, own: dict[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        kind = OPERATIONS[f"{method} {path}"].query
        answer = await own[method](request, read_query(request, kind) if kind else None)
        if isinstance(answer, Response):
            return answer
        return json_response(request, answer, _link(request, getattr(answer, "next", None)))

    return respond


def _link(request: Request, cursor: str | None) -> Mapping[str, str]:
    """Return the header that names the next page (RFC 8288), if there is one."""
    if cursor is None:
        return {}
    name = "after" if request.url.path.endswith(("/items", "/events")) else "before"
    following = request.url.include_query_params(**{name: cursor})
    return {"link": f'<{following.path}?{following.query}>; rel="next"'}


async def _no_store(_: Request, __: object) -> Response:
    message = (
        "This server stores no conversations: [store] enabled is false there, or the extra 'store' is missing."
    )
    raise HttpError(404, message, code="store_disabled")
