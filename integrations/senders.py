"""How the kinds of outgoing messages that belong to this app are sent, with real clients."""

from django.utils.translation import gettext_lazy as _

from integrations import conf, registry
from integrations.services import fleetio_creation, fleetio_odometers, link_mails


def register() -> None:
    registry.register_kind(
        link_mails.INVITE,
        lane=registry.MAIL,
        handler=link_mails.deliver_invite,
        label=_("Portal link to the driver"),
    )
    registry.register_kind(
        link_mails.RECONNECT,
        lane=registry.MAIL,
        handler=link_mails.deliver_reconnect,
        label=_("Request to connect again"),
    )
    registry.register_kind(
        fleetio_odometers.KIND,
        lane=registry.FLEETIO,
        handler=conf.with_fleetio(fleetio_odometers.deliver_odometer),
        label=_("Odometer to Fleetio"),
    )
    registry.register_kind(
        fleetio_creation.CREATE,
        lane=registry.FLEETIO,
        handler=conf.with_fleetio(fleetio_creation.deliver_creation),
        label=_("New vehicle in Fleetio"),
    )
    registry.register_kind(
        fleetio_creation.FILL,
        lane=registry.FLEETIO,
        handler=conf.with_fleetio(fleetio_creation.deliver_fill),
        label=_("Blank fields in Fleetio"),
    )
