"""Build and send one mail, text and HTML, from a folder of templates."""

import hashlib
import zoneinfo
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone, translation


def absolute(path: str) -> str:
    """The full address of a page of this portal."""
    site: str = settings.SITE_URL
    return urljoin(site + "/", path.lstrip("/"))


def send(
    template: str,
    *,
    to: str,
    message_key: str,
    context: Mapping[str, Any],
    time_zone: str = "",
    language: str = "",
    headers: Mapping[str, str] | None = None,
) -> None:
    """Send `<template>_subject.txt`, `_body.txt` and `_body.html` to one address.

    Times are shown in `time_zone` (an IANA name; the portal's own by default). The Message-ID
    follows from `message_key`, so a mail that had to be sent twice is recognised as one.
    Raises what the mail backend raises.
    """
    with reading_as(time_zone=time_zone, language=language):
        subject, text, html = (
            render_to_string(f"{template}_{part}", dict(context))
            for part in ("subject.txt", "body.txt", "body.html")
        )
    post(subject, text, html, to=to, message_key=message_key, headers=headers)


def post(
    subject: str,
    text: str,
    html: str,
    *,
    to: str,
    message_key: str,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Send a mail that is written already, as `send` does."""
    message = EmailMultiAlternatives(
        subject=" ".join(subject.split()),
        body=text,
        to=[to],
        headers={
            "Message-ID": message_id(message_key),
            "Auto-Submitted": "auto-generated",
            **(headers or {}),
        },
    )
    message.attach_alternative(html, "text/html")
    message.send()


@contextmanager
def reading_as(*, time_zone: str = "", language: str = "") -> Iterator[None]:
    """Times and words as this reader wants them; the portal's own where they chose none."""
    with (
        timezone.override(zone(time_zone)),
        translation.override(language or settings.LANGUAGE_CODE),
    ):
        yield


def message_id(key: str) -> str:
    digest = hashlib.sha256(f"{settings.SECRET_KEY}:{key}".encode()).hexdigest()[:32]
    return f"<{digest}@{urlsplit(settings.SITE_URL).hostname}>"


def zone(name: str) -> zoneinfo.ZoneInfo:
    """The zone of this name; the portal's own for none, or for one that is unknown."""
    try:
        return zoneinfo.ZoneInfo(name or settings.TIME_ZONE)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return zoneinfo.ZoneInfo(settings.TIME_ZONE)
