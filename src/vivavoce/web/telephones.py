"""The servers for telephone peers, beside the one for browsers and clients, each on a port of its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from vivavoce.transports.telephony.avr import AvrAmi, AvrServer
from vivavoce.transports.telephony.peers import may_call_from
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving_application


@asynccontextmanager
async def serving_telephones(web: Web) -> AsyncIterator[Sequence[str]]:
    """Listen for the peers of `[telephone]`, and yield a sentence on each. Raises `ConfigError`.

    Leaving the block ends their calls.
    """
    config, sentences = web.runtime.config, list[str]()
    table, may_call = config.telephone, may_call_from(config.telephone.peers)
    async with AsyncExitStack() as stack:
        if table.avr:
            ami = AvrAmi(table.avr_ami) if table.avr_ami else None
            application = AvrServer(web.telephone, may_call, ami)
            listening = listen(table.host, table.avr_port, "--avr-port")
            serving = serving_application(application, listening, config.limits, web.telephone.hang_up)
            url = await stack.enter_async_context(serving)
            path = url.replace("http", "ws", 1)
            sentences.append(f"Agent Voice Response: STS_URL={path} (or {url}/speech-to-speech-stream).")
        yield sentences
