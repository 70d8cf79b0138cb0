"""How this app's kinds of outgoing messages are sent, with real clients."""

from django.utils.translation import gettext_lazy as _

from integrations import registry
from maintenance.services import (
    channels,
    emails,
    notice_delivery,
    notices,
    notifying,
    wanted,
)


def register() -> None:
    _register_notices()
    registry.register_kind(
        notices.PROVIDER_REFUSES,
        lane=registry.MAIL,
        handler=notices.deliver_provider_refuses,
        label=_("Refused credentials, to staff"),
    )
    registry.register_wanted_signals(wanted.for_any_car)


def _register_notices() -> None:
    """What opened and what is over may stand in one message."""
    labels = {
        notifying.MAIL: _("Alert mail"),
        notifying.RESOLVED_MAIL: _("Resolved mail"),
        notifying.HELD_MAIL: _("What maintenance held, by mail"),
        notifying.PUSH: _("Alert to a channel"),
        notifying.HELD_PUSH: _("What maintenance held, to a channel"),
        notifying.RESOLVED_PUSH: _("Resolved, to a channel"),
    }
    for kind, label in labels.items():
        is_mail = kind.startswith("mail")
        registry.register_kind(
            kind,
            lane=registry.MAIL if is_mail else registry.PUSH,
            handler=emails.deliver if is_mail else channels.deliver,
            label=label,
            bundled=True,
            split=notice_delivery.split,
            most_attempts=registry.MOST_ATTEMPTS if is_mail else channels.MOST_ATTEMPTS,
        )
