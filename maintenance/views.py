"""Pages behind the links in mails: look at alerts and act on them, or get no more mails.

Mail scanners follow links, so a GET never acts.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from fleetportal import clock
from integrations.models import PortalSettings
from integrations.services import mail
from maintenance.models import Alert, Recipient
from maintenance.services import acts, links, recipients
from maintenance.services.links import AlertLink

METHODS = ["GET", "HEAD", "POST"]
LONGEST_NOTE = 1_000
LONGEST_SNOOZE = timedelta(days=366)
SNOOZE_DAYS = {"1": 1, "3": 3, "7": 7}


@never_cache
@require_http_methods(METHODS)
def alerts(request: HttpRequest, token: str) -> HttpResponse:
    """A GET shows the alerts and asks; the POST does what its button says."""
    now = clock.now()
    try:
        link = links.find_alerts(token, now=now)
    except links.ExpiredError:
        return _page(request, "link_expired", status=410)
    if link is None:
        return _page(request, "link_unknown", status=404)
    with mail.reading_as(time_zone=link.recipient.time_zone, language=link.recipient.language):
        if request.method == "POST":
            return _act(request, link, now)
        return _alerts_page(request, link, now)


def _act(request: HttpRequest, link: AlertLink, now: datetime) -> HttpResponse:
    action, note = request.POST.get("action", ""), request.POST.get("note", "")[:LONGEST_NOTE]
    chosen = set(request.POST.getlist("alert"))
    mine = [alert for alert in link.alerts if str(alert.pk) in chosen]
    by: dict[str, Any] = {"now": now, "name": link.recipient.email, "note": note.strip()}
    if not mine:
        return _alerts_page(request, link, now, error=_("Choose an alert first."), note=note)
    if action == "acknowledge":
        count = sum(acts.acknowledge(alert, **by) for alert in mine)
    elif action == "waive":
        count = sum(acts.waive(alert, **by) for alert in mine)
    elif action in {*SNOOZE_DAYS, "date"}:
        until = _until(request, now)
        if until is None:
            error = _("Choose a day after today, within a year.")
            return _alerts_page(request, link, now, error=error, note=note, asks_date=True)
        count = sum(acts.snooze(alert, until=until, **by) for alert in mine)
    else:
        raise BadRequest
    for alert in link.alerts:
        alert.refresh_from_db()
    return _alerts_page(request, link, now, done=_done(count))


def _done(count: int) -> str:
    """A button pressed twice finds nothing to do, and that is no error."""
    if not count:
        return _("Nothing had to be done")
    return ngettext("Done", "Done, for %(count)d alerts", count) % {"count": count}


def _until(request: HttpRequest, now: datetime) -> datetime | None:
    """The chosen moment: after so many days, or when a working day begins; None if it is none."""
    if days := SNOOZE_DAYS.get(request.POST.get("action", "")):
        return now + timedelta(days=days)
    try:
        day = parse_date(request.POST.get("date", ""))
    except ValueError:
        return None
    if day is None or not _today(now) < day <= _today(now) + LONGEST_SNOOZE:
        return None
    return datetime.combine(day, time(7), tzinfo=timezone.get_current_timezone())


def _today(now: datetime) -> date:
    return timezone.localtime(now).date()


def _alerts_page(
    request: HttpRequest, link: AlertLink, now: datetime, **context: Any
) -> HttpResponse:
    waiting: Sequence[Alert] = [alert for alert in link.alerts if alert.resolved_at is None]
    return _page(
        request,
        "alerts",
        recipient=link.recipient,
        alerts=link.alerts,
        waiting=waiting if "done" not in context else [],
        tomorrow=(_today(now) + timedelta(days=1)).isoformat(),
        **context,
    )


@csrf_exempt  # a mail provider's one click comes without cookies; the token is the permission
@never_cache
@require_http_methods(METHODS)
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """A GET shows and asks; a POST, of the page or of a mail provider, ends or begins it."""
    recipient: Recipient | None = links.find_recipient(token)
    if recipient is None:
        return _page(request, "link_unknown", status=404)
    is_back = False
    if request.method == "POST":
        is_back = request.POST.get("action") == "subscribe"
        change = recipients.subscribe if is_back else recipients.unsubscribe
        change(recipient, now=clock.now())
        recipient.refresh_from_db()
    with mail.reading_as(time_zone=recipient.time_zone, language=recipient.language):
        return _page(request, "unsubscribe", recipient=recipient, is_back=is_back)


def _page(request: HttpRequest, name: str, *, status: int = 200, **context: Any) -> HttpResponse:
    context["portal"] = PortalSettings.load()
    return render(request, f"maintenance/{name}.html", context, status=status)
