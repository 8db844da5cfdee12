"""Answers of any length in constant memory, which a client that has them already need not fetch again."""

from datetime import timedelta
from hashlib import blake2b

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import http_date

PIECE = 32_768  # characters: large enough to send, small enough to hold
SECOND = timedelta(seconds=1)


def streamed(request, parts, content_type):
    """A response of pieces of text, made as they are sent; of a HEAD request none is made."""
    if request.method == "HEAD":
        return HttpResponse(content_type=content_type)
    pieces = in_pieces(parts)
    if isinstance(request, ASGIRequest):
        pieces = in_turns(pieces)
    return StreamingHttpResponse(pieces, content_type=content_type)


def unless_known(request, response, state, *names):
    """The response, or a 304 where the client has it; `names` tell it from others at the same version."""
    digest = blake2b("\n".join([*names, str(state.version)]).encode(), digest_size=12).hexdigest()
    etag = f'W/"{digest}"'
    response["ETag"] = etag
    # Last-Modified knows seconds only: while the second lasts, a second change in it would go unseen.
    modified = int(state.changed.timestamp()) if timezone.now() - state.changed > SECOND else None
    if modified is not None:
        response["Last-Modified"] = http_date(modified)
    patch_cache_control(response, no_cache=True)
    return get_conditional_response(request, etag=etag, last_modified=modified, response=response)


def in_pieces(parts):
    held, size = [], 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= PIECE:
            yield "".join(held)
            held, size = [], 0
    if held:
        yield "".join(held)


async def in_turns(pieces):
    """The pieces, each made in a thread of this request's own: the database may take its time."""
    try:
        while (piece := await sync_to_async(next)(pieces, None)) is not None:
            yield piece
    finally:
        await sync_to_async(pieces.close)()
