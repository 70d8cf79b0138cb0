"""Panels that stand on the page of more than one model."""

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from integrations import registry
from integrations.admin import words
from integrations.admin.base import Panel
from integrations.models import Activity, OutboxEntry, Vehicle

SHOWN = 20
STATE_LEVELS = {
    OutboxEntry.State.DONE: "good",
    OutboxEntry.State.DEAD: "overdue",
    OutboxEntry.State.UNKNOWN: "due",
    OutboxEntry.State.CANCELLED: "quiet",
}


def timeline(about: Model) -> Panel:
    """What happened: to a vehicle all that concerns it, else what is about the object itself."""
    if isinstance(about, Vehicle):
        rows = Activity.objects.filter(vehicle=about)
        more = words.list_url(Activity, f"vehicle__id__exact={about.pk}")
    else:
        kind = ContentType.objects.get_for_model(about)
        rows = Activity.objects.filter(content_type=kind, object_id=about.pk)
        more = ""
    return Panel(
        title=_("What happened"),
        headers=(_("When"), _("Who"), _("What")),
        rows=[(words.ago(row.at), row.actor, row.what) for row in rows[:SHOWN]],
        empty=_("Nothing yet."),
        more=more,
    )


def kind_label(name: str) -> str:
    known = registry.kinds().get(name)
    return str(known.label) if known else name


def state_badge(entry: OutboxEntry) -> str:
    level = STATE_LEVELS.get(OutboxEntry.State(entry.state), "soon")
    return words.badge(level, entry.get_state_display())


def outgoing(entries: QuerySet[OutboxEntry], *, more: str = "") -> Panel:
    """Where each outgoing message stands."""
    return Panel(
        title=_("Outgoing messages"),
        headers=(_("Message"), _("State"), _("Written"), _("Next attempt"), _("Result or error")),
        rows=[
            (
                words.link(entry, kind_label(entry.kind)),
                state_badge(entry),
                words.ago(entry.created_at),
                words.NOTHING if entry.finished_at else words.ago(entry.next_attempt_at),
                entry.result or entry.last_error or words.NOTHING,
            )
            for entry in entries[:SHOWN]
        ],
        empty=_("Nothing was sent or is waiting to be sent."),
        more=more,
    )
