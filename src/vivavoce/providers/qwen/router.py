"""Which tool does a request need? Small questions that a small model answers well.

Left to their own tool format, models of this size write calls as prose, or call what nobody asked for (3 right
of 20). So they are asked for a name, held to the names that there are, after a few requests that show how. What
was said settles most arguments (see `evidence`); for the rest the model is asked, too (see `blanks`). All of
this is pure: the prompts, the grammars, what to make of the answers.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import msgspec
from msgspec import UNSET

from vivavoce.protocol.session import FunctionTool, ToolChoice, ToolChoiceFunction
from vivavoce.providers.dialogue import Turn
from vivavoce.providers.json_schema import Json, form, mapping, parameters
from vivavoce.providers.qwen.argument_search import Evidence, own_words
from vivavoce.text.en.inverse_normalization import as_written

__all__ = ["FIXED", "LIKELY", "NONE", "details", "eligible", "named", "names", "on_second_thoughts", "question"]

NONE = "none"

_RULE = (
    "You choose the tool that a caller's request needs, or none. Use a tool whenever one can answer the "
    "request. Greetings, thanks, jokes, small talk and general knowledge need none. Reply with the name only."
)
_TOOLS = """\
Tools:
set_timer(minutes: integer): Start a kitchen timer.
find_recipe(dish: string): Look up a recipe.
train_times(town: string): When trains leave for a town.
track_parcel(code: string): Find out where a parcel is.

"""


def _request(text: str, earlier: str = "") -> str:
    return f"Earlier: {earlier}\nRequest: {text}" if earlier else f"Request: {text}"


def details(tool: str, request: str) -> str:
    """Return what a model that chose `tool` is asked next."""
    return f"Arguments of {tool} for: {request}"


def _chose(request: str, tool: str, arguments: str, earlier: str = "") -> tuple[Turn, ...]:
    return (
        Turn("user", _request(request, earlier)),
        Turn("assistant", tool),
        Turn("user", details(tool, request)),
        Turn("assistant", arguments),
    )


def _declined(request: str, earlier: str = "") -> tuple[Turn, ...]:
    return (Turn("user", _request(request, earlier)), Turn("assistant", NONE))


FIXED = (
    Turn("system", _RULE),
    Turn("user", _TOOLS + _request("hello there")),
    Turn("assistant", NONE),
    *_chose("give me seven minutes for the eggs", "set_timer", '{"minutes": 7}'),
    *_declined("who wrote Hamlet?"),
    *_chose("is there still a train to Leeds tonight?", "train_times", '{"town": "Leeds"}'),
    *_declined("I feel tired today"),
    *_chose("it is 9022", "track_parcel", '{"code": "9022"}', "where is my parcel? / What is its code?"),
    *_declined("great, thanks", "where is parcel 9022? / It comes today."),
    *_chose("how would I make a good lasagna?", "find_recipe", '{"dish": "lasagna"}'),
    *_declined("thank you, bye"),
)
"""What every question begins with, whatever the tools: read once, when the model is opened."""

_ASKED = (
    ("weather|forecast|temperature", ("will I get wet in Lima tonight?", "is it freezing in Oslo?")),
    ("arithmetic|calculat|math", ("nine plus four", "what's seven percent of fifty?")),
    (
        "order|parcel|deliver|shipment",
        ("my parcel is nine oh two two, did it arrive?", "has number 51 been sent?"),
    ),
    ("light|lamp", ("it's too dark in the hall", "lamps off in the bedroom")),
    ("heating|thermostat", ("it's chilly in here", "make it twenty degrees")),
    ("shopping|grocer", ("we're out of milk", "I need six eggs")),
    ("timer|alarm|remind", ("wake me in ten minutes", "don't let me forget the cake at noon")),
    ("calendar|appointment|reserv|booking", ("a table for two at eight", "when can I see the doctor?")),
    ("music|song|play", ("put on something cheerful", "I'd like some jazz")),
    ("message|mail|sms", ("tell Ben I'm late", "write to Ada that it's done")),
    ("transfer|human|agent|operator", ("let me speak to a person", "can somebody else help me?")),
    ("hang.?up|goodbye|end.{1,12}call", ("I have to go now, bye", "that's it, goodbye")),
    ("translat", ("how do you say cat in French?", "what is bread in Italian?")),
    ("clock|the time|current time|date", ("what day is it?", "is it noon yet?")),
)
"""How people ask for the commonest things: no small model knows that an umbrella is about the weather."""

_NOT_ASKED = (
    "who wrote Hamlet?",
    "tell me something funny",
    "thank you very much",
    "who am I talking to?",
    "I feel tired today",
    "can you say that again?",
    "what's a glacier?",
    "okay, one moment",
)

CLOSE, DOUBT = 1.0, 0.3
"""So little behind none a tool may be, and so little ahead, in log probability, that what was said decides."""
LIKELY = 20
"""first tokens whose probability is asked for"""

_SHOWN = 2
"""examples of how people ask for each tool"""
_DESCRIPTION_CHARS = 160
_EARLIER_CHARS = 80
_REQUEST_CHARS = 1000
_EXAMPLES = re.compile(
    r"\b(?:for example|examples?|such as|e\.g\.|people (?:say|ask))\b[^:\"“']{0,40}:", re.IGNORECASE
)
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|(?<!\w)'((?:[^']|(?<=\w)'(?=\w))+)'(?!\w)")


def eligible(tools: Sequence[FunctionTool], choice: ToolChoice) -> Sequence[FunctionTool]:
    """Return the tools that may be called."""
    if choice == "none":
        return ()
    if isinstance(choice, ToolChoiceFunction):
        return [tool for tool in tools if tool.name == choice.name]
    return tools


# choosing a tool


def question(tools: Sequence[FunctionTool], turns: Sequence[Turn]) -> tuple[list[Turn], str]:
    """Return the prompt that asks for a tool's name, and the request in it.

    First comes what never changes, then the tools with how people may ask for them, which seldom change, and
    last the request with the two turns before it.
    """
    spoken = [said for said in turns if said.role != "system"]
    request = as_written(_line(spoken[-1].text))[:_REQUEST_CHARS] if spoken else ""
    earlier = " / ".join(filter(None, map(_briefly, spoken[-3:-1])))
    return [*FIXED, *_shown(tools), Turn("user", _request(request, earlier))], request


def _briefly(said: Turn) -> str:
    """Return how a turn began, or, of ours, how it ended: questions come last. Each word costs time."""
    text = _line(own_words(said))
    if len(text) <= _EARLIER_CHARS:
        return text
    kept = text[:_EARLIER_CHARS] if said.role == "user" else text[-_EARLIER_CHARS:]
    return kept.rpartition(" ")[0] if said.role == "user" else kept.partition(" ")[2]


def _shown(tools: Sequence[FunctionTool]) -> list[Turn]:
    listed = "Now the tools are others:\n" + "\n".join(map(_signature, tools)) + "\n\n"
    others, turns = cycle(_NOT_ASKED), [Turn("user", listed + _request("hello there")), Turn("assistant", NONE)]
    asked = [(tool.name, _asked(tool)) for tool in tools]
    for which in range(_SHOWN):
        for name, requests in asked:
            for request in requests[which : which + 1]:
                turns += [Turn("user", _request(request)), Turn("assistant", name), *_declined(next(others))]
    return turns


def _asked(tool: FunctionTool) -> Sequence[str]:
    """Return how people ask for a tool: as its description says, else as they do for things of its kind."""
    about, examples = _about(tool)
    about = about or tool.name.replace("_", " ")
    topic = f"{tool.name} {about}".lower()
    known = next((requests for pattern, requests in _ASKED if re.search(pattern, topic)), None)
    return examples or known or (f"please {about[0].lower()}{about[1:].rstrip('.')}",)


def _about(tool: FunctionTool) -> tuple[str, Sequence[str]]:
    """Return what a tool does, and the requests that its description quotes after `For example:`."""
    told = _line(tool.description) if tool.description is not UNSET else ""
    quoting = _EXAMPLES.search(told)
    examples = (
        [next(filter(None, found)) for found in _QUOTED.findall(told[quoting.end() :])] if quoting else []
    )
    about = told[: quoting.start()].strip() if quoting and examples else told
    return about[:_DESCRIPTION_CHARS], [as_written(example) for example in examples]


def _line(text: str) -> str:
    return " ".join(text.split())


def _signature(tool: FunctionTool) -> str:
    properties = mapping(form(tool)["properties"])
    described = mapping(parameters(tool).get("properties"))
    arguments = ", ".join(
        f"{name}: {_kind(mapping(what))}{_hint(described, name)}" for name, what in properties.items()
    )
    return f"{tool.name}({arguments})" + (f": {about}" if (about := _about(tool)[0]) else "")


def _kind(schema: Json) -> str:
    if isinstance(options := schema.get("enum"), list):
        return " or ".join(map(str, options))
    return str(schema.get("type", "any"))


def _hint(described: Json, name: str) -> str:
    hint = mapping(described.get(name)).get("description")
    return f" ({_line(hint)[:60]})" if isinstance(hint, str) else ""


def names(tools: Sequence[FunctionTool], *, none: bool) -> str:
    """Return a GBNF grammar of the tools' names, or of what is enough of them, and (if allowed) of none."""
    return "root ::= " + " | ".join(
        msgspec.json.encode(begins).decode() for begins in _beginnings(tools, none=none)
    )


def named(tools: Sequence[FunctionTool], answer: str) -> FunctionTool | None:
    """Return the tool that an answer held to `names` means; None is none."""
    return _beginnings(tools, none=True).get(answer) or _beginnings(tools, none=False).get(answer)


def on_second_thoughts(
    tools: Sequence[FunctionTool],
    chosen: FunctionTool | None,
    likely: Mapping[str, float],
    look: Callable[[FunctionTool], Evidence],
) -> FunctionTool | None:
    """Weigh a choice by how sure the model was (log probabilities of first tokens) and by what was said.

    A tool that came close to none is taken where all that it needs was said, and leaves no choice: a number.
    One that was hardly likelier than none is not taken where nothing was said of what it needs.
    """
    ahead = _ahead_of_none(tools, likely)
    if chosen is None:
        close = sorted((one for one in ahead if ahead[one] > -CLOSE), key=lambda one: -ahead[one])
        known = {tool.name: tool for tool in tools}
        return next((known[one] for one in close if _is_all_said(look(known[one]))), None)
    told = look(chosen)
    doubtful = ahead.get(chosen.name, DOUBT) < DOUBT and told.missing and not told.found
    return None if doubtful else chosen


def _ahead_of_none(tools: Sequence[FunctionTool], likely: Mapping[str, float]) -> Mapping[str, float]:
    """Return by how much tools were likelier than none, so far as their first tokens tell them apart."""
    names = [*(tool.name for tool in tools), NONE]
    begun = {token: [name for name in names if name.startswith(token)] for token in likely if token}
    sure = {found[0]: likely[token] for token, found in reversed(begun.items()) if len(found) == 1}
    none = sure.pop(NONE, None)
    return {} if none is None else {name: sure[name] - none for name in sure}


def _is_all_said(told: Evidence) -> bool:
    return bool(told.found) and not told.left and not told.missing


def _beginnings(tools: Sequence[FunctionTool], *, none: bool) -> Mapping[str, FunctionTool | None]:
    """Return what is enough of each name: a word less to write is some time less to wait."""
    known: dict[str, FunctionTool | None] = {tool.name: tool for tool in tools}
    if none:
        known.setdefault(NONE, None)
    first = {name: name.partition("_")[0] for name in known}
    counts = list(first.values())
    return {first[name] if counts.count(first[name]) == 1 else name: tool for name, tool in known.items()}
