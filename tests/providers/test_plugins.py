import subprocess
import sys

import pytest

OURS = ["silero", "smart_turn", "moonshine", "hibari"]


@pytest.mark.parametrize("name", OURS)
def test_looking_at_the_plugin_loads_nothing_heavy(name: str) -> None:
    script = (
        f"import sys, vivavoce.providers.local.{name} as offered; print(offered.PLUGIN.name);"
        "sys.exit(bool({'numpy', 'onnxruntime', 'hibari'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", OURS)
def test_without_the_extra_the_owner_is_told_what_to_install(name: str) -> None:
    script = (
        "import sys, anyio, pathlib;"
        "sys.modules.update(onnxruntime=None, numpy=None, hibari=None);"
        f"from vivavoce.providers.local.{name} import PLUGIN;"
        "from vivavoce.errors import ConfigError\n"
        "class Anything(dict):\n"
        "    def __missing__(self, name): return pathlib.Path(name)\n"
        "async def weights(model): return Anything()\n"
        "try: anyio.run(PLUGIN.open, PLUGIN.settings(), weights)\n"
        "except ConfigError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert "vivavoce[local]" in said
