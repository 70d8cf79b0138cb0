"""Application configuration of the project and of its admin site."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class FleetPortalConfig(AppConfig):
    """The commands that join the parts: serve, demo, doctor."""

    name = "fleetportal"


class PortalAdminConfig(admin_apps.AdminConfig):
    default = False
    default_site = "fleetportal.site.PortalAdminSite"
