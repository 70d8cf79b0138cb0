"""Application configuration: tells the registry how our own kinds are sent."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = _("Cars and connections")

    def ready(self) -> None:
        from integrations import checks, senders

        checks.load()
        senders.register()
