"""A job's log as it grows, over the Jobs API's web socket."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Final

import aiohttp

from mover_ray.pipelines.jobs_http import NoAnswerError

#: A connection over which nothing comes back for half of this time is given up.
_HEARTBEAT_S: Final = 120.0


def follow_log(
    address: str, headers: Mapping[str, str], ca_file: str | None, skip: int
) -> Iterator[str]:
    """Gives a log piece by piece until its job ends.

    Args:
        address: Of the web socket, as `http(s)://`.
        headers: The token, where the cluster wants one.
        ca_file: Certificates that an `https` address is checked with.
        skip: Characters at the beginning that are left out.

    Raises:
        NoAnswerError: The connection cannot be made, or breaks before the job's end.
    """
    context = ssl.create_default_context(cafile=ca_file)
    with asyncio.Runner() as runner:
        pieces = _pieces(address, headers, context)
        try:
            while (piece := runner.run(anext(pieces, None))) is not None:
                yield piece[skip:] if skip < len(piece) else ""
                skip = max(0, skip - len(piece))
        finally:
            runner.run(pieces.aclose())


async def _pieces(
    address: str, headers: Mapping[str, str], context: ssl.SSLContext
) -> AsyncGenerator[str, None]:
    try:
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(address, ssl=context, heartbeat=_HEARTBEAT_S) as socket,
        ):
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    yield message.data
            if socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE:
                raise NoAnswerError(
                    f"the log broke off: `{address}`", hint="the job goes on; ask for the log again"
                )
    except aiohttp.ClientError as error:
        raise NoAnswerError(f"the log cannot be followed: `{address}`: {error}") from error
