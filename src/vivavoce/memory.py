"""Gives the memory of ended conversations back to the system.

Tasks that were cancelled, their exceptions and the frames of those refer to one another, so that a call's audio
waits for the garbage collector, which comes late when little is created; and what is freed then remains with
glibc. A client that never reads, and is disconnected for it, would so cost some 15 MB until the process ends.
"""

import asyncio
import ctypes
import gc
from weakref import WeakSet

RELEASE_SECONDS = 5.0
"""seconds after the end of a call; calls that end meanwhile share the effort"""

_due: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def keep() -> None:
    """Exempt what there is now, the loaded models and modules, from garbage collection, which gets faster."""
    gc.collect()
    gc.freeze()


def release_soon() -> None:
    """Collect garbage soon, and return free memory to the system, because a call has ended."""
    loop = asyncio.get_running_loop()
    if loop not in _due:
        _due.add(loop)
        loop.call_later(RELEASE_SECONDS, _release, loop)


def _release(loop: asyncio.AbstractEventLoop) -> None:
    _due.discard(loop)
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none, and need none
    if trim:
        trim(0)
