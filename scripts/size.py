"""Prints the lines of Python and of data files by room, beside their budgets in `size_budgets.toml`."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "vivavoce"
BENCH = ROOT / "bench" / "vivavoce_bench"
DATA = {".csv", ".css", ".html", ".js", ".json", ".toml", ".txt"}
MODULES = "(modules)"


def lines(path: Path) -> int:
    """Return the number of lines of a text file."""
    return path.read_bytes().count(b"\n")


def room_of(path: Path, budgets: dict[str, int]) -> str:
    """Return the room of a file: the folder below the package, or one further below with its own budget."""
    if path.is_relative_to(BENCH):
        return "bench"
    parts = path.relative_to(PACKAGE).parts[:-1]
    below = "/".join(parts[:2])
    return below if below in budgets else parts[0] if parts else MODULES


def main() -> int:
    """Print the table; return 1 if a room exceeds its budget, or has none."""
    budgets: dict[str, int] = tomllib.loads((Path(__file__).with_name("size_budgets.toml")).read_text())
    python: dict[str, int] = {}
    data: dict[str, int] = {}
    for folder in (PACKAGE, BENCH):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                counts = python if path.suffix == ".py" else data if path.suffix in DATA else {}
                room = room_of(path, budgets)
                counts[room] = counts.get(room, 0) + lines(path)
    print(f"{'room':22}{'Python':>8}{'budget':>8}{'data':>8}")
    for room in sorted(python.keys() | data.keys()):
        print(f"{room:22}{python.get(room, 0):8,}{budgets.get(room, 0):8,}{data.get(room, 0):8,}")
    print(f"{'all':22}{sum(python.values()):8,}{sum(budgets.values()):8,}{sum(data.values()):8,}")
    over = [room for room, count in python.items() if count > budgets.get(room, 0)]
    if over:
        print(f"Over budget: {', '.join(over)}. Make it smaller, or argue: scripts/size_budgets.toml says how.")
    return int(bool(over))


if __name__ == "__main__":
    sys.exit(main())
