"""Webhook events as people read them: what kind, what it came to, and what came."""

import json

from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin import words
from integrations.clients.smartcar_webhooks_v2 import KINDS as OLDER_KINDS
from integrations.models import WebhookEvent

State = WebhookEvent.State
LONGEST = 20_000  # characters of a body that are shown

GROUPS = {
    "values": (gettext_lazy("Values of a car"), ("VEHICLE_STATE", *sorted(OLDER_KINDS))),
    "trouble": (gettext_lazy("Trouble with a car"), ("VEHICLE_ERROR",)),
    "issue": (
        gettext_lazy("An issue in Fleetio"),
        ("issue_created", "issue_updated", "issue_closed", "issue_resolved", "issue_deleted"),
    ),
    "service": (
        gettext_lazy("A service in Fleetio"),
        ("service_entry_created", "service_entry_updated", "service_entry_deleted"),
    ),
    "import": (gettext_lazy("An import into Fleetio"), ("import_completed",)),
    "happening": (gettext_lazy("Something happened to a car"), ("eventBased",)),
}
KINDS = {kind: text for text, kinds in GROUPS.values() for kind in kinds}
LEVELS = {State.PROCESSED: "good", State.RECEIVED: "soon", State.FAILED: "overdue"}


def kind(event: WebhookEvent) -> str:
    """What the event tells of; Smartcar's own word where we have none."""
    return str(KINDS.get(event.kind) or event.kind or _("unknown"))


def state_badge(event: WebhookEvent) -> str:
    return words.badge(LEVELS.get(State(event.state), "quiet"), event.get_state_display())


def outcome(event: WebhookEvent) -> str:
    """What it came to, or how it failed, in a line."""
    error = event.error.strip().splitlines()
    return event.note or (error[0][:200] if error else words.NOTHING)


def body(event: WebhookEvent) -> str:
    """What came, made readable. It is a stranger's text: shown, never obeyed."""
    text = _printable(_indented(event.body)[: LONGEST + 1])
    shown = format_html(
        '<pre class="fp-body" tabindex="0" role="region" aria-label="{}">{}</pre>',
        _("The event as it came"),
        text[:LONGEST],
    )
    if len(text) <= LONGEST:
        return shown
    note = _("Only the first %(count)d characters are shown.") % {"count": LONGEST}
    return words.joined([shown, words.small(note)])


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _printable(text: str) -> str:
    """Without what would turn or hide the text around it, or what no page can carry."""
    return "".join(
        char if char.isprintable() or char == "\n" else f"\\u{ord(char):04x}" for char in text
    )
