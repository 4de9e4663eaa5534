"""Install the clients of others. `make test` does so while other tests run; a test waits for its own."""

import os
import shutil

from clients.environments import ROOT, python_of
from clients.javascript import packages

if __name__ == "__main__":
    for locked in sorted((ROOT / "requirements/clients").glob("*.txt")):
        python_of(locked.stem)
    if (shutil.which("node") and shutil.which("npm")) or "CI" in os.environ:
        packages()
