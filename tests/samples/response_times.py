# ruff: noqa: E402 (each section is shown on its own)
# [start:listener]
from vivavoce.protocol import events as e
from vivavoce.session.call import Caller
from vivavoce.session.middleware import Listener, ObservedEvent


class ResponseTimes:
    """Measures the seconds from the end of a user's speech to the first audio of the response."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def listen(self, caller: Caller) -> Listener:
        """Called once per conversation; what it returns is called with every event of it."""
        stopped_at: float | None = None

        def on_event(observed: ObservedEvent) -> None:
            nonlocal stopped_at
            match observed.event:
                case e.InputAudioBufferSpeechStopped():
                    stopped_at = observed.at
                case e.ResponseOutputAudioDelta() if stopped_at is not None:
                    self.seconds.append(observed.at - stopped_at)
                    stopped_at = None

        return on_event


# [end:listener]

# [start:measure]
from vivavoce.testing.simulation import CallerSays, Simulation


async def measure() -> list[float]:
    """Return what is measured in one simulated conversation, which takes some milliseconds."""
    times = ResponseTimes()
    simulation = Simulation(["Paris, of course."], listeners=[times.listen])
    await simulation.run(CallerSays(0.5, "What is the capital of France?"), until=6)
    return times.seconds


# [end:measure]
