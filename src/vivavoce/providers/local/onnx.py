"""Opens ONNX models with few threads that do not spin, and with the same results on all processors.

Slow packages are imported when a model is opened, so that the registry can load all plugins quickly.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vivavoce.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vivavoce.audio.samples import Floats

    Array = Floats | NDArray[np.int64] | NDArray[np.bool_]

SETTINGS = {"session.intra_op.allow_spinning": "0", "session.x64quantprecision": "1"}
"""the second for processors without VNNI, where products of 8 bits overflow: Smart Turn gave 0.29 for 0.78"""


class OnnxSession(Protocol):
    """An open model: named arrays in, arrays out. Many threads may run one session at once."""

    def run(self, outputs: Sequence[str] | None, inputs: "Mapping[str, Array]") -> "list[Floats]": ...


def open_session(path: Path, *, threads: int = 1) -> OnnxSession:
    """Load the model file `path`, which takes some tenths of a second: call it off the event loop.

    Raises `ConfigError` if the extra `local` is not installed, or the file is no model.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as broken
    except ImportError as error:
        raise ConfigError("Local models need the extra: pip install 'vivavoce[local]'.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    for name, value in SETTINGS.items():
        options.add_session_config_entry(name, value)
    try:
        session: OnnxSession = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (
        broken.Fail,
        broken.InvalidArgument,
        broken.InvalidGraph,
        broken.InvalidProtobuf,
        broken.NoSuchFile,
    ) as error:
        raise ConfigError(f"{path.name} cannot be opened as a model; try: viva models verify.") from error
    return session
