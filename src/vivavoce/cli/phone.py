"""`viva phone`: the address of the page, with a code that signs a browser in, for a phone to scan."""

import io
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.common import (
    File,
    KeyVariable,
    configuration,
    key_from,
    own_address,
    own_certificate,
    server_for,
)
from vivavoce.errors import ProviderError

if TYPE_CHECKING:
    from vivavoce.config.schema import Config
    from vivavoce.web.endpoints.sign_in import SignInCode

TIMEOUT_SECONDS = 10
WHITE_ON_BLACK, RESET = "\x1b[38;5;231;48;5;16m", "\x1b[0m"
"""The letters are the light of the picture, on terminals of all colours: not every camera reads a negative."""


def phone(
    url: Annotated[str | None, typer.Option(help="The server, if it is not ours on this machine.")] = None,
    key_env: KeyVariable = None,
    config: File = None,
) -> None:
    """Print a code to be scanned: it opens the page of the running server on a phone, and signs it in."""
    import anyio

    loaded = configuration(file=config).config
    typer.echo("\n".join(invitation(anyio.run(_new_code, loaded, url, key_from(key_env)))))


def invitation(issued: "SignInCode") -> Iterator[str]:
    """Yield the lines that invite a phone: what to scan, the same in letters, and what its browser will ask."""
    addresses = [f"{address}/#code={issued.code}" for address in issued.addresses]
    yield from _picture(addresses[0])
    yield addresses[0]
    yield "Scan or open this within ten minutes, in the same network. It works once; viva phone prints another."
    for address in addresses[1:]:
        yield f"The same by another way: {address}"
    if issued.certificate:
        yield "The browser will warn you: it does not know yet who made this certificate. SHA-256:"
        yield f"  certificate {issued.certificate}"
        yield f"  authority   {issued.authority} ({issued.addresses[0]}/authority.crt)"


async def _new_code(config: "Config", url: str | None, key: str | None) -> "SignInCode":
    import httpx
    import msgspec

    from vivavoce.web.endpoints.sign_in import SignInCode

    at, with_key = await server_for(config, url, key, local=False, quiet=True)
    if at is None:
        write = "viva serve --https --host 0.0.0.0"
        raise ProviderError("server", f"none answers at {own_address(config)}; start it, for example: {write}")
    headers = {"authorization": f"Bearer {with_key}"} if with_key else {}
    tls = own_certificate(config, at) or True
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False, verify=tls) as client:
            answer = await client.post(f"{at.removesuffix('/v1')}/v1/sign-in/codes", headers=headers)
    except httpx.HTTPError as error:
        raise ProviderError("server", f"{at} cannot be reached: {error}") from error
    if answer.is_error:
        raise ProviderError("server", str(answer.json()["error"]["message"]))
    return msgspec.json.decode(answer.content, type=SignInCode)


def _picture(address: str) -> Iterator[str]:
    """Yield the lines of a QR code; none if the terminal has no letters for it."""
    try:
        import segno
    except ImportError:
        return
    out = io.StringIO()
    segno.make(address, micro=False).terminal(out, compact=True)
    try:
        out.getvalue().encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return
    has_colours = sys.stdout.isatty()
    for line in out.getvalue().splitlines():
        yield f"{WHITE_ON_BLACK}{line}{RESET}" if has_colours else line
