"""A llama.cpp whose words are tokens: it counts what it reads, and keeps it in the caches of its slots."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vivavoce.providers.qwen.llama import BATCH_TOKENS


@dataclass(frozen=True)
class Read:
    """What one request has read: its tokens, and how many of them were not in the cache of the slot."""

    slot: int
    prompt: tuple[str, ...]
    tokens: int
    is_ahead: bool


@dataclass
class CountingLlama:
    """Answers `answer`; refuses a prompt of more than `context` tokens; calls `hold` before each batch."""

    answer: str = "Well, that is how it is."
    context: int = 4096
    can_shift: bool = True
    hold: Callable[[], object] = lambda: None
    reads: list[Read] = field(default_factory=list)
    caches: dict[int, list[str]] = field(default_factory=dict)
    _slots: dict[int, threading.Lock] = field(default_factory=dict)

    def handle_chat_completions(
        self, request: Mapping[str, object], callback: Callable[[object], bool], /
    ) -> object:
        slot = request["id_slot"]
        assert isinstance(slot, int)
        with self._slots.setdefault(slot, threading.Lock()):
            self._answer(slot, request, callback)
        return None

    def _answer(self, slot: int, request: Mapping[str, object], callback: Callable[[object], bool]) -> None:
        prompt = tokens_of(request["messages"])
        if len(prompt) > self.context:
            callback({"error": {"message": "too long", "type": "exceed_context_size_error"}})
            return
        chunk = request.get("n_cache_reuse") if self.can_shift else 0
        cache = self.caches[slot] = reused(
            self.caches.get(slot, []), prompt, chunk if isinstance(chunk, int) else 0
        )
        new = prompt[len(cache) :]
        is_ahead = request.get("max_tokens") == 1
        self.reads.append(Read(slot, tuple(prompt), len(new), is_ahead))
        for at in range(0, len(new), BATCH_TOKENS):
            self.hold()
            cache += new[at : at + BATCH_TOKENS]
            if callback({"prompt_progress": {"processed": len(cache)}}):
                return
        words = ["Ahead"] if is_ahead else self.answer.split()
        for index, word in enumerate(words):
            cache.append(word)
            if callback({"choices": [{"delta": {"content": f" {word}" if index else word}}]}):
                return
        callback({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        timings = {"cache_n": len(prompt) - len(new), "prompt_n": len(new), "predicted_n": len(words)}
        callback({"choices": [], "timings": timings})

    @property
    def late(self) -> list[Read]:
        """What was read while somebody waited for an answer."""
        return [read for read in self.reads if not read.is_ahead]


def tokens_of(messages: object) -> list[str]:
    """Return a chat's tokens: the template's marks, and the words."""
    assert isinstance(messages, list)
    tokens: list[str] = []
    for message in messages:
        tokens += [f"<{message['role']}>", *message["content"].split(), "<end>"]
    return [*tokens, "<assistant>"]


def reused(cache: list[str], prompt: list[str], chunk: int) -> list[str]:
    """Return what a cache spares of a prompt: its beginning, and after that runs of at least `chunk` tokens.

    That is llama.cpp's algorithm for `n_cache_reuse`. The last token is always read.
    """
    kept = 0
    while kept < min(len(cache), len(prompt)) and cache[kept] == prompt[kept]:
        kept += 1
    at = kept
    while chunk and at < len(cache) and kept < len(prompt):
        run = 0
        while at + run < len(cache) and kept + run < len(prompt) and cache[at + run] == prompt[kept + run]:
            run += 1
        if run >= chunk:
            at, kept = at + run, kept + run
        else:
            at += 1
    return prompt[: min(kept, len(prompt) - 1)]
