"""The models of this server by HTTP, as OpenAI lists them in `/v1/models`."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vivavoce.runtime import MODEL, Runtime
from vivavoce.web.errors import HttpError


class ModelsEndpoint:
    """The models in use. Any other name may be sent as `model` as well, and means the same."""

    def __init__(self, runtime: Runtime) -> None:
        config = runtime.config
        upstream = [config.remote.model] if config.engine == "remote" else []
        names = [MODEL, *upstream, *(choice.plugin.name for choice in runtime.choices.values())]
        self._models: Mapping[str, object] = {
            name: {"id": name, "object": "model", "created": 0, "owned_by": MODEL} for name in names
        }

    async def list(self, _: Request) -> Response:
        """Answer `GET /v1/models`."""
        return JSONResponse({"object": "list", "data": [*self._models.values()]})

    async def retrieve(self, request: Request) -> Response:
        """Answer `GET /v1/models/{model}`."""
        name = request.path_params["model"]
        if name not in self._models:
            message = f"There is no model '{name[:64]}' here; there are: {', '.join(self._models)}."
            raise HttpError(404, message, code="model_not_found", param="model")
        return JSONResponse(self._models[name])
