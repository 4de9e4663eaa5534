"""A conversation that lasts: how much the offline model reads while somebody waits, counted in tokens."""

import json
import threading
from collections.abc import Sequence
from statistics import median

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from providers.llama_cache import CountingLlama, tokens_of
from vivavoce.engines.cascade.notes import Notes
from vivavoce.errors import ProviderError
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputText, Item, Message, OutputText
from vivavoce.providers.base import ChatRequest, ChatUsage
from vivavoce.providers.dialogue import DialogueTurn, system_prompt
from vivavoce.providers.qwen.chat import Qwen
from vivavoce.providers.qwen.llama import Llama
from vivavoce.providers.qwen.prompts import EXAMPLES, STYLE

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

MARKS = 8
"""tokens of the template around a question, and the last of an answer"""


def user(text: str) -> Message:
    return Message(role="user", content=(InputText(text=text),))


def assistant(text: str) -> Message:
    return Message(role="assistant", content=(OutputText(text=text),))


def open_qwen(llama: CountingLlama, *, slots: int = 2, context: int = 2048) -> Qwen:
    opening = (DialogueTurn("system", system_prompt("Be kind.", STYLE)), *EXAMPLES)
    tokens = tokens_of([{"role": turn.role, "content": turn.text} for turn in opening])
    llama.caches = {slot: list(tokens) for slot in range(slots)}
    return Qwen(Llama(llama), slots=slots, context=context, read=opening)


def request(items: Sequence[Item]) -> ChatRequest:
    return ChatRequest(items=tuple(items), instructions="Be kind.")


async def answer(qwen: Qwen, items: list[Item]) -> None:
    """Have the model answer, and add the answer to the conversation."""
    pieces = [piece async for piece in qwen.reply(request(items))]
    assert isinstance(pieces[-1], ChatUsage)
    items.append(assistant("".join(piece for piece in pieces if isinstance(piece, str))))


async def ask(qwen: Qwen, items: list[Item], question: str, *, ahead: bool = True) -> None:
    items.append(user(question))
    await answer(qwen, items)
    if ahead:
        await qwen.prefill(request(items))


def question(number: int, words: int = 12) -> str:
    return " ".join([f"Question{number}", *(f"word{number}x{i}" for i in range(words))])


def told(turns: int) -> list[Item]:
    return [item for n in range(turns) for item in (user(question(n)), assistant(f"Answer {n} is that."))]


@pytest.mark.parametrize("ahead", [True, False])
async def test_no_turn_of_a_long_conversation_reads_more_than_the_ten_before_it(ahead: bool) -> None:
    llama, items = CountingLlama(context=2048), list[Item]()
    qwen = open_qwen(llama)
    for number in range(300):
        await ask(qwen, items, question(number), ahead=ahead)
    late = [read.tokens for read in llama.late]
    assert max(late[1:]) <= 13 + MARKS
    assert all(late[i] <= 1.5 * median(late[i - 10 : i]) for i in range(10, 300))


async def test_a_model_whose_cache_cannot_be_moved_reads_it_again_before_anybody_waits() -> None:
    llama, items = CountingLlama(context=2048, can_shift=False), list[Item]()
    qwen = open_qwen(llama)
    for number in range(150):
        await ask(qwen, items, question(number))
    late = [read.tokens for read in llama.late]
    assert sum(tokens > 13 + MARKS for tokens in late) <= 12, "where the answer comes first in a step"


async def test_notes_on_what_is_left_out_are_read_before_anybody_waits() -> None:
    llama, items, notes = CountingLlama(context=2048), list[Item](), Notes(1000)
    qwen = open_qwen(llama)
    for number in range(200):
        items.append(replace(user(question(number)), id=f"q{number}"))
        told = notes.with_notes(items)
        pieces = [piece async for piece in qwen.reply(request(told))]
        words = "".join(piece for piece in pieces if isinstance(piece, str))
        items.append(replace(assistant(words), id=f"a{number}"))
        if due := notes.due(items, qwen.context_budget(request(items))):
            notes.add(f"The user said {number} things.", due, items)
        await qwen.prefill(request(notes.with_notes(items)))
        is_left_out = "Question0" not in " ".join(llama.late[-1].prompt)
        assert not is_left_out or "Notes" in llama.late[-1].prompt
    assert is_left_out
    assert max(read.tokens for read in llama.late[1:]) <= 13 + MARKS


LENGTHS = st.lists(st.tuples(st.integers(1, 25), st.integers(1, 30), st.booleans()), min_size=30, max_size=60)


@settings(max_examples=8)
@given(LENGTHS)
def test_what_is_read_late_is_the_question_whatever_was_said(lengths: list[tuple[int, int, bool]]) -> None:
    """Of answers that were interrupted, only the part that was heard is in the conversation."""

    async def talk() -> None:
        llama, items = CountingLlama(context=2048), list[Item]()
        qwen = open_qwen(llama, context=2048)
        for number, (asked, said, interrupted) in enumerate(lengths):
            llama.answer = " ".join(f"a{number}x{i}" for i in range(said))
            items.append(user(question(number, asked)))
            await answer(qwen, items)
            if interrupted:
                items[-1] = assistant(llama.answer[: len(llama.answer) // 2])
            await qwen.prefill(request(items))
            assert llama.late[-1].tokens <= asked + 1 + MARKS or number == 0
            prompt = llama.late[-1].prompt
            assert len(prompt) <= 2048
            everything = tuple(tokens_of([{"role": "user", "content": question(number, asked)}]))
            assert prompt[-len(everything) :] == everything, "the last question is whole"
            assert prompt[: prompt.index("Be") + 2] == llama.late[0].prompt[: prompt.index("Be") + 2]

    anyio.run(talk)


async def test_a_call_and_its_output_are_forgotten_together() -> None:
    """Results in JSON are not read out, so the model reads them."""
    llama, items = CountingLlama(context=2048), list[Item]()
    qwen = open_qwen(llama, context=2048)
    for number in range(60):
        call = FunctionCall(name="look", arguments="{}", call_id=str(number))
        output = FunctionCallOutput(call_id=str(number), output=json.dumps({"shelf": number}))
        items += [user(question(number)), call, output]
        await answer(qwen, items)
        await qwen.prefill(request(items))
        text = " ".join(llama.late[-1].prompt)
        assert text.count("Question") == text.count("shelf"), text
    assert "Question0" not in text


async def test_a_conversation_that_is_told_again_is_read_before_anybody_waits() -> None:
    llama = CountingLlama()
    qwen = open_qwen(llama, context=4096)
    items = told(60)
    await qwen.prefill(request(items[:1]))
    await qwen.prefill(request(items))
    assert all(read.tokens < 600 for read in llama.reads[1:]), "a piece at a time"
    items.append(user(question(61)))
    await answer(qwen, items)
    assert llama.late[-1].tokens <= 13 + MARKS


async def test_a_client_that_returns_finds_its_slot_and_nothing_is_read_again() -> None:
    llama, items = CountingLlama(), list[Item]()
    qwen = open_qwen(llama, slots=1, context=4096)
    for number in range(20):
        await ask(qwen, items, question(number))
    before = sum(read.tokens for read in llama.reads)
    for upto in (1, 2, 17, 40):
        await qwen.prefill(request(items[:upto]))
    items.append(user(question(21)))
    await answer(qwen, items)
    assert sum(read.tokens for read in llama.reads) - before <= 13 + MARKS


async def test_what_was_read_already_is_not_read_again() -> None:
    llama, items = CountingLlama(), list[Item]()
    qwen = open_qwen(llama)
    await ask(qwen, items, question(0))
    count = len(llama.reads)
    await qwen.prefill(request(items))
    assert len(llama.reads) == count


async def test_two_conversations_read_only_their_own() -> None:
    llama, ours, theirs = CountingLlama(context=2048), list[Item](), list[Item]()
    qwen = open_qwen(llama)
    for number in range(40):
        await ask(qwen, ours, question(number))
        await ask(qwen, theirs, question(1000 + number))
    assert max(read.tokens for read in llama.late[2:]) <= 13 + MARKS


async def test_more_tokens_than_were_estimated_are_no_failure() -> None:
    llama, items = CountingLlama(context=700), list[Item]()
    qwen = open_qwen(llama, context=2048)
    for number in range(60):
        await ask(qwen, items, question(number))
    assert max(len(read.prompt) for read in llama.reads) <= 700
    items.append(user("word " * 800))
    with pytest.raises(ProviderError, match="more than fits"):
        await answer(qwen, items)


async def test_reading_counts_as_progress() -> None:
    llama, steps = CountingLlama(), list[int]()
    asked = ChatRequest(items=(*told(60), user("Well?")), on_progress=lambda: steps.append(1))
    assert [piece async for piece in open_qwen(llama, context=4096).reply(asked)]
    assert len(steps) >= llama.reads[-1].tokens // 128


async def test_a_reply_does_not_wait_for_what_another_conversation_reads_ahead() -> None:
    gate, began = threading.Semaphore(1), threading.Event()

    def hold() -> None:
        began.set()
        gate.acquire()

    llama = CountingLlama(hold=hold)
    qwen, items = open_qwen(llama, context=4096), told(60)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(qwen.prefill, request(items))
        await anyio.to_thread.run_sync(began.wait)

        async def reply() -> None:
            await answer(qwen, [user("Hello?")])
            assert sum(len(cache) for cache in llama.caches.values()) < 1500, "the other is not read yet"

        tasks.start_soon(reply)
        await anyio.lowlevel.checkpoint()
        gate.release(1000)
    items.append(user("Well?"))
    await answer(qwen, items)
    assert llama.late[-1].tokens <= MARKS, "it was read to its end after that"


async def test_more_conversations_than_slots_do_not_read_over_each_other() -> None:
    llama = CountingLlama()
    qwen = open_qwen(llama, slots=1, context=4096)
    talks = [[user(f"I am caller {number}."), *told(20)[1:]] for number in range(3)]
    async with anyio.create_task_group() as tasks:
        for talk in talks:
            tasks.start_soon(qwen.prefill, request(talk))
    assert sum(read.tokens for read in llama.reads) < 3 * 20 * (13 + 3 * MARKS), "each once"


async def test_a_question_that_comes_while_turns_are_dropped_does_not_bring_them_back() -> None:
    """Reading ahead is cancelled after llama.cpp has moved its cache, and before it has read the rest."""
    is_reading, may_read = threading.Event(), threading.Event()

    def hold() -> None:
        is_reading.set()
        may_read.wait()

    llama, items = CountingLlama(context=2048, hold=hold), list[Item]()
    qwen = open_qwen(llama)
    may_read.set()
    for number in range(80):
        await ask(qwen, items, question(number), ahead=False)
        is_reading.clear()
        may_read.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(qwen.prefill, request(items))
            await anyio.to_thread.run_sync(is_reading.wait)
            items.append(user("Well?"))
            tasks.start_soon(answer, qwen, items)
            await anyio.lowlevel.checkpoint()
            may_read.set()
    assert max(read.tokens for read in llama.late[1:]) <= 20 + 2 * MARKS
