"""Pipecat's Realtime services, each in a pipeline of its own, talk with the server: OpenAI's and Azure's.

The name of the model tells the conversations apart. Pipecat ends a session on most errors, so none is provoked
but those that it expects.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMRunFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.services.azure.realtime.llm import AzureRealtimeLLMService
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime import events
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies
from pipecat.workers.runner import WorkerRunner
from telling import RATE, URL, Ear, frames, hold, tell

HEARD = events.InputAudioTranscription(model="scripted", prompt="Heard: my name is Ada")
WEATHER = FunctionSchema("get_weather", "Tells the weather in a city.", {"city": {"type": "string"}}, ["city"])


async def get_weather(call: FunctionCallParams) -> None:
    await call.result_callback({"sky": f"blue over {call.arguments['city']}"})


class Talk(BaseObserver):
    """A pipeline, and the frames that its Realtime service pushes."""

    def __init__(self, service: OpenAIRealtimeLLMService, context: LLMContext) -> None:
        super().__init__()
        self.service, self.context, self.ear = service, context, Ear()
        turns = LLMUserAggregatorParams(user_turn_strategies=ExternalUserTurnStrategies())
        pair = LLMContextAggregatorPair(context, user_params=turns)
        pipeline = Pipeline([pair.user(), service, pair.assistant()])
        self.worker = PipelineWorker(pipeline, observers=[self], cancel_on_idle_timeout=False)
        self.worker.add_event_handler("on_pipeline_started", self._started)
        for kind in ("on_conversation_item_created", "on_conversation_item_updated"):
            service.add_event_handler(kind, self._item)

    async def on_push_frame(self, data: FramePushed) -> None:
        if data.source is self.service:
            self.ear.hear(data.frame)

    async def _started(self, *_: Any) -> None:
        self.ear.hear("started")

    async def _item(self, _service: Any, item_id: str, item: events.ConversationItem | None) -> None:
        self.ear.hear(item)

    async def got(self, kind: type, *, since: int = 0, times: int = 1) -> list[Any]:
        heard = await self.ear.until(lambda one: isinstance(one, kind), since=since, times=times)
        return [one for one in heard if isinstance(one, kind)]

    async def cut_short(self) -> None:
        """Wait for an unfinished answer's end: its item is done, and then it is itself."""
        await self.ear.until(lambda one: getattr(one, "status", None) == "incomplete", times=2)

    async def queue(self, *queued: Frame) -> None:
        for frame in queued:
            await self.worker.queue_frame(frame)

    async def say(self, recording: str, *, silence: float = 1.5) -> None:
        async for frame in frames(recording, silence=silence):
            await self.queue(InputAudioRawFrame(audio=frame, sample_rate=RATE, num_channels=1))

    def words(self, since: int = 0) -> str:
        return "".join(one.text for one in self.ear.heard[since:] if isinstance(one, TTSTextFrame))

    def errors(self) -> list[str]:
        return [one.error for one in self.ear.heard if isinstance(one, ErrorFrame)]


@asynccontextmanager
async def talking(
    name: str,
    *messages: str,
    service: Any = OpenAIRealtimeLLMService,
    url: str = f"{URL}/realtime",
    **properties: Any,
) -> AsyncIterator[Talk]:
    session = events.SessionProperties(**properties)
    settings = service.Settings(model=name, session_properties=session)
    realtime = service(api_key="none", base_url=url, settings=settings)
    realtime.register_function("get_weather", get_weather)
    history = [{"role": "user", "content": text} for text in messages]
    talk = Talk(realtime, LLMContext(history, ToolsSchema([WEATHER])))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(talk.worker)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)
        await talk.ear.until(lambda one: one == "started")
        yield talk
        await talk.queue(EndFrame())


async def writes() -> None:
    async with talking("writes", "Say exactly: good morning.") as talk:
        await talk.queue(LLMRunFrame())
        await talk.got(LLMFullResponseEndFrame)
        sound = sum(len(one.audio) for one in talk.ear.heard if isinstance(one, TTSAudioRawFrame))
        tell("a text turn", words=talk.words(), sound=sound, errors=talk.errors())


async def calls_a_tool() -> None:
    async with talking("tool", "What is the weather in Paris?") as talk:
        await talk.queue(LLMRunFrame())
        await talk.got(LLMFullResponseEndFrame, times=2)
        tell("a tool", words=talk.words(), errors=talk.errors())


async def speaks() -> None:
    heard = events.AudioConfiguration(input=events.AudioInput(transcription=HEARD))
    async with talking("speaks", audio=heard) as talk:
        await talk.say("weather")
        await talk.got(LLMFullResponseEndFrame)
        transcript = (await talk.got(TranscriptionFrame))[0].text
        item_id = next(one.id for one in talk.ear.heard if isinstance(one, events.ConversationItem))
        item = await talk.service.retrieve_conversation_item(item_id)
        retrieved = item.content[0].transcript
        tell("a spoken turn", heard=[transcript, retrieved], words=talk.words(), errors=talk.errors())


async def interrupts() -> None:
    async with talking("interrupts", instructions="Tell a long story.") as talk:
        await talk.queue(LLMRunFrame())
        await talk.got(TTSAudioRawFrame, times=15)
        await talk.say("weather")
        await talk.got(InterruptionFrame)
        await talk.cut_short()
        tell("an interruption", errors=talk.errors())


async def turns_by_hand() -> None:
    by_hand = events.AudioInput(transcription=HEARD, turn_detection=False)
    async with talking("by-hand", audio=events.AudioConfiguration(input=by_hand)) as talk:
        await talk.say("weather", silence=0.1)
        await talk.queue(UserStoppedSpeakingFrame())
        await talk.got(LLMFullResponseEndFrame)
        first = talk.words()
        at = len(talk.ear.heard)
        await talk.say("brooklyn", silence=0.1)
        await talk.queue(UserStoppedSpeakingFrame())
        await talk.got(TTSAudioRawFrame, since=at, times=2)
        await talk.queue(InterruptionFrame())
        await talk.cut_short()
        tell("a turn by hand and a cancel", words=first, errors=talk.errors())


async def edits() -> None:
    async with talking("edits") as talk:
        for name, text, place in (("name", "My name is Ada.", None), ("hello", "Hello.", "root")):
            content = [events.ItemContent(type="input_text", text=text)]
            item = events.ConversationItem(id=name, type="message", role="user", content=content)
            create = events.ConversationItemCreateEvent(item=item, previous_item_id=place)
            await talk.service.send_client_event(create)
        await talk.got(events.ConversationItem, times=2)
        await talk.service.send_client_event(events.ConversationItemDeleteEvent(item_id="hello"))
        item = await talk.service.retrieve_conversation_item("name")
        try:
            await talk.service.retrieve_conversation_item("hello")
        except Exception as error:  # noqa: BLE001 - pipecat raises no other
            gone = str(error)
        await talk.service.send_client_event(events.ResponseCreateEvent(response=asking("What is my name?")))
        await talk.got(LLMFullResponseEndFrame)
        tell("item edits", kept=item.content[0].text, gone=gone, words=talk.words(), errors=talk.errors())


def asking(text: str) -> events.ResponseProperties:
    return events.ResponseProperties(instructions=text)


async def calls_azure() -> None:
    url = URL.removesuffix("/v1") + "/openai/v1/realtime"
    text = "Say exactly: good evening."
    async with talking("azure", text, service=AzureRealtimeLLMService, url=url) as talk:
        await talk.queue(LLMRunFrame())
        await talk.got(LLMFullResponseEndFrame)
        tell("as Azure", words=talk.words(), errors=talk.errors())


async def asks() -> None:
    transcription = events.AudioInput(transcription=events.InputAudioTranscription(model="whisper-1"))
    async with talking(
        "asks",
        instructions="Answer in one short sentence.",
        audio=events.AudioConfiguration(input=transcription),
    ) as talk:
        await talk.say("brooklyn")
        await talk.got(LLMFullResponseEndFrame)
        heard = (await talk.got(TranscriptionFrame))[0].text
        sound = sum(len(one.audio) for one in talk.ear.heard if isinstance(one, TTSAudioRawFrame))
        tell("a question", heard=heard, words=talk.words(), seconds=sound / 48000, errors=talk.errors())


logger.remove()
anyio.run(hold, writes, calls_a_tool, speaks, interrupts, turns_by_hand, edits, calls_azure, asks)
