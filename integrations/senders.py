"""How the kinds of outgoing messages that belong to this app are sent, with real clients."""

from collections.abc import Sequence
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from integrations import conf, registry
from integrations.models import OutboxEntry
from integrations.services import fleetio_bulk, fleetio_creation, fleetio_odometers, link_mails


def _odometers(
    entries: Sequence[OutboxEntry], *, unclear: bool, now: datetime
) -> list[fleetio_bulk.Result]:
    client = conf.get_fleetio_client()
    return fleetio_bulk.deliver(entries, client=client, unclear=unclear, now=now)


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
        link_mails.RENEW,
        lane=registry.MAIL,
        handler=link_mails.deliver_renew,
        label=_("Request to renew a consent"),
    )
    registry.register_kind(
        fleetio_odometers.KIND,
        lane=registry.FLEETIO,
        handler=_odometers,
        label=_("Odometer to Fleetio"),
        bundled=True,
        split=fleetio_bulk.split,
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
