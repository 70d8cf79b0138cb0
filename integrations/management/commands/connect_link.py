"""Make a portal link for a driver."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from fleetportal import clock
from integrations.management.base import PortalCommand
from integrations.models import VehicleGroup
from integrations.services import connect_links, link_mails, mail


class Command(PortalCommand):
    help = "Prints the portal link of a driver, alone on the last line. --send mails it too."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True, help="the driver's address")
        parser.add_argument("--name", required=True, help="the driver's name")
        parser.add_argument("--vin", default="", help="only this car can be connected")
        parser.add_argument("--group", default="", help="group that the cars join")
        parser.add_argument("--send", action="store_true", help="mail the link to the driver")

    def handle(
        self, *args: Any, email: str, name: str, vin: str, group: str, send: bool, **options: Any
    ) -> None:
        now = clock.now()
        try:
            with transaction.atomic():  # wrong input leaves nothing behind
                driver = connect_links.invite(email=email, name=name, now=now)
                link = connect_links.create(driver, vin=vin, group=_group(group), now=now)
        except ValidationError as exc:
            raise self.usage_error("; ".join(exc.messages)) from exc
        if send:
            link_mails.send(link, now=now)
            self.stdout.write(f"The link goes to {driver.email} with the next delivery of mail.")
        self.stdout.write(mail.absolute(connect_links.path(link)))


def _group(name: str) -> VehicleGroup | None:
    """The group of that name, made when there is none. Raises ValidationError."""
    name = name.strip()
    group = VehicleGroup.objects.filter(name=name).first() if name else None
    if name and group is None:
        group = VehicleGroup(name=name)
        group.full_clean()
        group.save()
    return group
