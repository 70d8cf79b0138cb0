"""The steps of registering the webhook: how each stands, and what to do about it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations import registry
from integrations.admin import reporting, troubles, words
from integrations.models import WebhookEndpoint
from integrations.services import webhook_setup

Verify = WebhookEndpoint.Verify
DONE, TODO, WRONG = "done", "todo", "wrong"
LEVELS = {DONE: "good", TODO: "soon", WRONG: "overdue"}
LABELS = {
    DONE: gettext_lazy("done"),
    TODO: gettext_lazy("to do"),
    WRONG: gettext_lazy("wrong"),
}
LATELY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`facts` say how it stands, `todo` what to do; `address` is there to be copied."""

    title: str
    state: str
    facts: list[Any] = field(default_factory=list)
    todo: str = ""
    address: str = ""
    has_window: bool = False  # the window's button belongs to it
    links: list[tuple[str, str]] = field(default_factory=list)  # text and address

    @property
    def badge(self) -> str:
        return words.badge(LEVELS[self.state], LABELS[self.state])


def of(row: WebhookEndpoint, last_good: datetime | None, now: datetime) -> list[Step]:
    return [
        address(row, last_good),
        token(),
        verify(row, now),
        webhook_id(),
        test(row, last_good, now),
    ]


def address(row: WebhookEndpoint, last_good: datetime | None) -> Step:
    url = settings.SITE_URL + reverse("integrations:smartcar_webhook")
    title = _("Enter the portal's address in Smartcar's dashboard")
    if not webhook_setup.is_public(settings.SITE_URL):
        return Step(
            title=title,
            state=WRONG,
            address=url,
            facts=[_("Smartcar delivers only to a public https address, and this is none.")],
            todo=_("Set SITE_URL to the address at which the world reaches the portal."),
        )
    if row.verify_seen_at or row.refused_at or last_good:
        return Step(title=title, state=DONE, address=url, facts=[_("Something has arrived there.")])
    todo = _("Make a webhook there, with this address, and choose the signals it reports.")
    wanted = troubles.names_of(sorted(registry.wanted_signals()))
    if wanted:
        todo += " " + _("The rules want: %(names)s.") % {"names": ", ".join(wanted)}
    return Step(title=title, state=TODO, address=url, todo=todo)


def has_token() -> bool:
    return bool(settings.SMARTCAR_MANAGEMENT_TOKENS)


def token() -> Step:
    """Whether there is one; never which."""
    count = len(settings.SMARTCAR_MANAGEMENT_TOKENS)
    title = _("Set the application management token")
    if not count:
        return Step(
            title=title,
            state=TODO,
            facts=[_("Without it, deliveries cannot be told from forgeries: all are refused.")],
            todo=_(
                "Copy it from Smartcar's dashboard into SMARTCAR_MANAGEMENT_TOKEN, in the"
                " portal's environment, and start the portal anew."
            ),
        )
    text = ngettext("It is set.", "%(count)d are set, as during a change.", count)
    return Step(title=title, state=DONE, facts=[text % {"count": count}])


def verify(row: WebhookEndpoint, now: datetime) -> Step:
    facts: list[Any] = []
    if row.verify_seen_at:
        facts.append(
            format_html(
                _("Smartcar's check came {} and was {}."),
                words.ago(row.verify_seen_at),
                row.get_verify_outcome_display(),
            )
        )
    if row.verified_at and row.verify_outcome != Verify.ANSWERED:
        facts.append(format_html(_("The last good check was {}."), words.ago(row.verified_at)))
    state = _state_of_verifying(row, now)
    if state == DONE:
        todo = _("It has to be verified again only when the address changes.")
    else:
        todo = _(
            "Open the window, then press Verify in Smartcar's dashboard. Outside of it the portal"
            " answers no check, because an answer would help a forger."
        )
    return Step(
        title=_("Let Smartcar verify the address"),
        state=state,
        facts=facts,
        todo="" if is_open(row, now) else todo,
        has_window=True,
    )


def _state_of_verifying(row: WebhookEndpoint, now: datetime) -> str:
    if row.verify_outcome in {"", Verify.ANSWERED}:
        return DONE if row.verified_at else TODO
    is_lately = row.verify_seen_at is not None and row.verify_seen_at > now - LATELY
    return WRONG if is_lately or not row.verified_at else DONE


def is_open(row: WebhookEndpoint, now: datetime) -> bool:
    return row.window_until is not None and row.window_until > now


def webhook_id() -> Step:
    title = _("Tell the portal the webhook's id")
    if reporting.webhook_id():
        shown = format_html(_("It is {}."), _code(reporting.webhook_id()))
        return Step(title=title, state=DONE, facts=[shown])
    return Step(
        title=title,
        state=TODO,
        facts=[_("Without it the portal subscribes no car.")],
        todo=_(
            "Copy it from Smartcar's dashboard into SMARTCAR_WEBHOOK_ID, in the portal's"
            " environment, and start the portal anew."
        ),
    )


def _code(text: str) -> str:
    return format_html("<code>{}</code>", text)


def test(row: WebhookEndpoint, last_good: datetime | None, now: datetime) -> Step:
    title, proofs = _("Send a test"), [at for at in (row.test_seen_at, last_good) if at]
    facts: list[Any] = []
    if row.test_seen_at:
        facts.append(format_html(_("A test came {}."), words.ago(row.test_seen_at)))
    elif last_good:
        facts.append(_("No test is needed: cars report already."))
    refused = row.refused_at
    if refused and refused > max([now - LATELY, *proofs]):
        why = format_html(_("A delivery was refused {}: {}."), words.ago(refused), row.refused_why)
        todo = _("What to do about it stands below. Then send a test from Smartcar's dashboard.")
        return Step(title=title, state=WRONG, facts=[*facts, why], todo=todo)
    if facts:
        return Step(title=title, state=DONE, facts=facts)
    todo = _("Choose “Send test” in Smartcar's dashboard: it is seen here within seconds.")
    return Step(title=title, state=TODO, todo=todo)
