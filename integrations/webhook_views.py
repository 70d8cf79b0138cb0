"""Where providers deliver what they say by themselves."""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from fleetportal import clock
from integrations.models import WebhookProvider
from integrations.services import fleetio_inbox, inbox, webhook_setup

logger = logging.getLogger(__name__)

LARGEST = 256 * 1024  # bytes; Smartcar sends at most 50 KB


@csrf_exempt
def smartcar_webhook(request: HttpRequest) -> HttpResponse:
    """Genuine and stored: 200, also when it is repeated; 503 lets Smartcar repeat it.

    https://smartcar.com/docs/integrations/webhooks/receiver
    """
    return _take(request, "HTTP_SC_SIGNATURE", _from_smartcar, WebhookProvider.SMARTCAR)


@csrf_exempt
def fleetio_webhook(request: HttpRequest) -> HttpResponse:
    """As Smartcar's: what is not answered with 200 Fleetio sends again for a day.

    https://developer.fleetio.com/docs/overview/webhooks
    """
    name = "HTTP_X_FLEETIO_WEBHOOK_SIGNATURE"
    return _take(request, name, _from_fleetio, WebhookProvider.FLEETIO)


def _take(
    request: HttpRequest,
    signature: str,
    receive: Callable[[bytes, str | None], HttpResponse],
    provider: WebhookProvider,
) -> HttpResponse:
    if request.method != "POST":
        return _answer(405, {"Allow": "POST"})
    try:
        body = _read(request)
    except Exception:  # noqa: BLE001  it hung up or sent rubbish: each server has its own error
        return _answer(400)
    if body is None:
        inbox.refuse(webhook_setup.TOO_LARGE, now=clock.now(), provider=provider)
        return _answer(413)
    try:
        return receive(body, request.META.get(signature))
    except Error as exc:  # its text may quote what was to be stored
        if inbox.once_a_minute("database"):
            logger.error("a webhook delivery could not be stored: %s", type(exc).__name__)  # noqa: TRY400
        return _answer(503)


def _from_smartcar(body: bytes, signature: str | None) -> HttpResponse:
    tokens = settings.SMARTCAR_MANAGEMENT_TOKENS
    answer = inbox.receive(body, signature=signature, tokens=tokens, now=clock.now())
    if answer.challenge:
        return JsonResponse({"challenge": answer.challenge})
    return _answer(answer.status)


def _from_fleetio(body: bytes, signature: str | None) -> HttpResponse:
    keys = settings.FLEETIO_WEBHOOK_KEYS
    now = clock.now()
    return _answer(fleetio_inbox.receive(body, signature=signature, keys=keys, now=now))


def _read(request: HttpRequest) -> bytes | None:
    """The body as it came; None when it is too large. Raises when not all of it came."""
    length = _length(request)
    if length is not None and length > LARGEST:
        return None
    stream = request
    if length is None and request.META.get("wsgi.input_terminated"):
        stream = request.META["wsgi.input"]  # sent in chunks: Django reads nothing of it
    body = b""
    while len(body) <= LARGEST and (part := stream.read(LARGEST + 1 - len(body))):
        body += part
    if len(body) > LARGEST:
        return None
    if length is not None and len(body) < length:
        raise OSError("the body is not complete")
    return body


def _length(request: HttpRequest) -> int | None:
    try:
        length = int(request.META.get("CONTENT_LENGTH") or "")
    except ValueError:
        return None
    return length if length >= 0 else None


def _answer(status: int, headers: dict[str, str] | None = None) -> HttpResponse:
    response = HttpResponse(status=status, headers=headers, content_type="text/plain")
    # Django would log a line for each that is refused, as often as somebody tries.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
