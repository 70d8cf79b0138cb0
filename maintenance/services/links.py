"""Links in mails that need no password: signed from what they are about, stored nowhere.

A link to alerts names its reader, so that what is done there has a name, and works for a month.
The one to unsubscribe works for ever.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.core import signing
from django.urls import reverse

from integrations.services import mail
from maintenance.models import Alert, Recipient

AGE = timedelta(days=30)
MOST_ALERTS = 20  # of one link; so many fit on a page

_alert_signer = signing.Signer(sep=".", salt="maintenance.alert-link")
_unsubscribe_signer = signing.Signer(sep=".", salt="maintenance.unsubscribe")


class ExpiredError(Exception):
    """The link was good once."""


@dataclass(frozen=True, slots=True)
class AlertLink:
    """Who opened the link, and what it is about."""

    recipient: Recipient
    alerts: Sequence[Alert]


def alerts_url(recipient: Recipient, alerts: Iterable[Alert], *, now: datetime) -> str:
    numbers = "-".join(str(alert.pk) for alert in list(alerts)[:MOST_ALERTS])
    token = _alert_signer.sign(f"{recipient.pk}_{int(now.timestamp())}_{numbers}")
    return mail.absolute(reverse("maintenance:alerts", args=[token]))


def find_alerts(token: str, *, now: datetime) -> AlertLink | None:
    """What the token opens; None for anything that we did not sign, or that is gone.

    Raises ExpiredError when it is too old.
    """
    try:
        recipient_id, made, numbers = _alert_signer.unsign(token).split("_")
    except (signing.BadSignature, ValueError):
        return None
    if datetime.fromtimestamp(int(made), UTC) + AGE < now:
        raise ExpiredError
    recipient = Recipient.objects.select_related("user").filter(pk=recipient_id).first()
    if recipient and recipient.user and not recipient.user.is_active:  # who left acts no more
        return None
    alerts = Alert.objects.filter(pk__in=numbers.split("-")).select_related("vehicle", "rule")
    found = sorted(alerts, key=lambda alert: alert.pk)
    return AlertLink(recipient, found) if recipient and found else None


def unsubscribe_url(recipient: Recipient) -> str:
    return mail.absolute(reverse("maintenance:unsubscribe", args=[_signed(recipient)]))


def find_recipient(token: str) -> Recipient | None:
    """Whom the token lets go; None for anything that we did not sign."""
    try:
        pk = _unsubscribe_signer.unsign(token)
    except signing.BadSignature:
        return None
    return Recipient.objects.filter(pk=pk).first()


def _signed(recipient: Recipient) -> str:
    return _unsubscribe_signer.sign(str(recipient.pk))
