"""Application configuration: listens to integrations and fills its registry."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MaintenanceConfig(AppConfig):
    name = "maintenance"
    verbose_name = _("Maintenance")

    def ready(self) -> None:
        from maintenance import fleetio, receivers, senders

        receivers.load()
        senders.register()
        fleetio.register()
