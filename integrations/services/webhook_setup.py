"""Setting up the webhook: when its check is answered, and what is still wrong with it."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from integrations.models import WebhookEndpoint, WebhookEvent, WebhookProvider
from integrations.services import activity

SMARTCAR = WebhookProvider.SMARTCAR
Verify = WebhookEndpoint.Verify
LATELY = timedelta(days=1)
NOT_OF_THE_WORLD = {"localhost", "local", "internal"}  # names that only a network of ours knows

# Why a delivery was refused, as it is stored.
BAD_SIGNATURE = "its signature does not match"
TOO_LARGE = "it is too large"
NO_TOKEN = "SMARTCAR_MANAGEMENT_TOKEN is not set"  # noqa: S105  the name of the setting


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and what a person can do about it."""

    what: str | Promise
    to_do: str | Promise


def endpoint(provider: WebhookProvider = SMARTCAR) -> WebhookEndpoint:
    """How it goes with a provider's webhook."""
    found = WebhookEndpoint.objects.filter(provider=provider).first()
    return found or WebhookEndpoint.objects.get_or_create(provider=provider)[0]


@transaction.atomic
def open_window(*, now: datetime, user: User | None, minutes: int = 15) -> WebhookEndpoint:
    """Answer Smartcar's check of the address for so many minutes."""
    return _set_window(
        now + timedelta(minutes=minutes),
        f"Verification window opened for {minutes} minutes",
        now=now,
        user=user,
    )


@transaction.atomic
def close_window(*, now: datetime, user: User | None) -> WebhookEndpoint:
    """Answer no more checks."""
    return _set_window(None, "Verification window closed", now=now, user=user)


def _set_window(
    until: datetime | None, what: str, *, now: datetime, user: User | None
) -> WebhookEndpoint:
    row = endpoint()
    row.window_until = until
    row.save(update_fields=["window_until"])
    activity.record(what, now=now, about=row, user=user)
    return row


def problems(now: datetime) -> list[Problem]:
    """What keeps the cars from reporting by themselves; empty when all is well. Writes nothing."""
    row = WebhookEndpoint.objects.filter(provider=SMARTCAR).first() or WebhookEndpoint()
    newest = _newest_event()
    return [
        *_of_settings(),
        *_of_verifying(row, newest, now),
        *_of_deliveries(row, newest, now),
    ]


def _of_settings() -> Iterator[Problem]:
    if not is_public(settings.SITE_URL):
        yield Problem(
            _("Smartcar delivers only to a public https address, and SITE_URL is not one."),
            _("Set SITE_URL to the address at which the world reaches the portal."),
        )
    if not settings.SMARTCAR_MANAGEMENT_TOKENS:
        yield Problem(
            _("Deliveries cannot be told from forgeries: SMARTCAR_MANAGEMENT_TOKEN is not set."),
            _("Copy the application management token from Smartcar's dashboard into it."),
        )
    if not settings.SMARTCAR_WEBHOOK_ID:
        yield Problem(
            _("Cars cannot be subscribed: SMARTCAR_WEBHOOK_ID is not set."),
            _("Copy the webhook's id from Smartcar's dashboard into it."),
        )


def is_public(url: str) -> bool:
    """Whether Smartcar may reach the address, as far as it shows."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    try:
        is_reachable = ipaddress.ip_address(host).is_global
    except ValueError:
        domain, _dot, top = host.rpartition(".")
        is_reachable = bool(domain) and top not in NOT_OF_THE_WORLD
    return parts.scheme == "https" and is_reachable


def _newest_event() -> datetime | None:
    """When the last genuine delivery came."""
    received = WebhookEvent.objects.filter(provider=SMARTCAR).order_by("-received_at")
    return received.values_list("received_at", flat=True).first()


def _matters(moment: datetime | None, newest: datetime | None) -> bool:
    """Whether what went wrong then may still be so: anybody can make something go wrong, but only
    Smartcar can send what is genuine.
    """
    return moment is not None and (newest is None or newest <= moment)


def _of_verifying(
    row: WebhookEndpoint, newest: datetime | None, now: datetime
) -> Iterator[Problem]:
    if row.verified_at and not _is_lately(row.verify_seen_at, now):
        return
    if not _matters(row.verify_seen_at, newest):
        return
    if row.verify_outcome == Verify.CLOSED:
        yield Problem(
            _("Smartcar's check of the address came while the verification window was closed."),
            _("Open the window, then press Verify in Smartcar's dashboard once more."),
        )
    elif row.verify_outcome == Verify.IMPLAUSIBLE:
        yield Problem(
            _("A check of the address did not look like Smartcar's, and was not answered."),
            _("Open the window and press Verify in Smartcar's dashboard once more."),
        )
    elif row.verify_outcome == Verify.NO_TOKEN:
        yield Problem(
            _("Smartcar's check of the address came while there was no management token."),
            _("Set SMARTCAR_MANAGEMENT_TOKEN, open the window, and verify once more."),
        )


def _of_deliveries(
    row: WebhookEndpoint, newest: datetime | None, now: datetime
) -> Iterator[Problem]:
    is_refused = _is_lately(row.refused_at, now) and _matters(row.refused_at, newest)
    if is_refused and row.refused_why == BAD_SIGNATURE:
        yield Problem(
            _("Deliveries were refused lately, because their signatures do not match."),
            _(
                "Compare SMARTCAR_MANAGEMENT_TOKEN with Smartcar's dashboard, and let nothing on"
                " the way change what is sent. If they match, somebody is trying forgeries:"
                " nothing of that was stored."
            ),
        )
    elif is_refused and row.refused_why == TOO_LARGE:
        yield Problem(
            _("A delivery was refused lately, because it was too large to be Smartcar's."),
            _("Nothing was stored. Nothing needs to be done unless readings are missing."),
        )
    if row.test_seen_at or newest:
        return
    if row.verified_at:
        yield Problem(
            _("Smartcar has verified the address, but no car has reported yet."),
            _("Enable the webhook in Smartcar's dashboard and subscribe the cars to it."),
        )
    elif not row.verify_seen_at and not row.refused_at:
        yield Problem(
            _("Nothing ever arrived from Smartcar."),
            _(
                "Enter the portal's webhook address in Smartcar's dashboard, open the"
                " verification window, and press Verify there."
            ),
        )


def _is_lately(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment > now - LATELY
