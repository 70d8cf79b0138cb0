"""Mails about alerts: one opened or got worse, one is over."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.urls import reverse

from integrations.models import OutboxEntry, PortalSettings
from integrations.registry import Sent
from integrations.services import mail
from maintenance.models import Alert, FleetioIssue, Recipient, Stage
from maintenance.services import wording


def deliver_alert(entry: OutboxEntry, *, unclear: bool, now: datetime) -> Sent:
    """Handler of the mail that announces a stage of an alert."""
    stage = Stage(entry.payload["stage"])
    return _deliver("maintenance/emails/alert", entry, {"stage": stage, "stage_name": stage.label})


def deliver_resolved(entry: OutboxEntry, *, unclear: bool, now: datetime) -> Sent:
    """Handler of the mail that says that an announced alert is over."""
    return _deliver("maintenance/emails/resolved", entry, {})


def _deliver(template: str, entry: OutboxEntry, extra: dict[str, Any]) -> Sent:
    alert = (
        Alert.objects.select_related("vehicle", "rule").filter(pk=entry.payload["alert"]).first()
    )
    recipient = Recipient.objects.filter(pk=entry.payload["recipient"]).first()
    if alert is None or recipient is None:
        return Sent("not sent: the alert or the recipient was deleted")
    with mail.reading_as(time_zone=recipient.time_zone, language=recipient.language):
        known = {**context(alert, recipient), **extra}
    return send_to(recipient, template, entry, known)


def send_to(
    recipient: Recipient, template: str, entry: OutboxEntry, context: Mapping[str, Any]
) -> Sent:
    """Send one mail as its reader likes it."""
    mail.send(
        template,
        to=recipient.email,
        message_key=entry.dedupe_key,
        time_zone=recipient.time_zone,
        language=recipient.language,
        context=context,
    )
    return Sent(recipient.email)


def context(alert: Alert, recipient: Recipient) -> dict[str, Any]:
    """What the templates know: the alert, its evidence in words, and where to look."""
    portal = PortalSettings.load()
    # A driver has no place in the admin: a link there would only ask for a password.
    only_drives = recipient.driver_id is not None and recipient.user_id is None
    return {
        "alert": alert,
        "vehicle": alert.vehicle,
        "what": alert.summary,
        "lines": wording.explain(
            alert.kind, alert.evidence, recipient.units or portal.distance_unit
        ),
        "portal": portal,
        **({} if only_drives else _links(alert)),
    }


def _links(alert: Alert) -> dict[str, Any]:
    """Where staff look. The way to Fleetio leads through the admin: Fleetio's own address holds
    the account token.
    """
    alert_path = reverse("admin:maintenance_alert_change", args=[alert.pk])
    links: dict[str, Any] = {"alert_url": mail.absolute(alert_path)}
    issue = FleetioIssue.objects.filter(alert=alert).first()
    if issue:
        path = reverse("admin:maintenance_fleetioissue_open", args=[issue.pk])
        links |= {"issue": issue, "issue_url": mail.absolute(path)}
    return links
