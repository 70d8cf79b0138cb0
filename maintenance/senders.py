"""How this app's kinds of outgoing messages are sent, with real clients."""

from django.utils.translation import gettext_lazy as _

from integrations import conf, registry
from maintenance.services import emails, issues, notices, notifying, wanted


def register() -> None:
    registry.register_kind(
        issues.KIND,
        lane=registry.FLEETIO,
        handler=conf.with_fleetio(issues.deliver),
        label=_("Issue in Fleetio"),
    )
    registry.register_kind(
        notifying.MAIL, lane=registry.MAIL, handler=emails.deliver_alert, label=_("Alert mail")
    )
    registry.register_kind(
        notifying.RESOLVED_MAIL,
        lane=registry.MAIL,
        handler=emails.deliver_resolved,
        label=_("Resolved mail"),
    )
    registry.register_kind(
        notices.PROVIDER_REFUSES,
        lane=registry.MAIL,
        handler=notices.deliver_provider_refuses,
        label=_("Refused credentials, to staff"),
    )
    registry.register_wanted_signals(wanted.for_any_car)
