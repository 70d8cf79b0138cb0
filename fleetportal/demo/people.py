"""What people do in the demo: an admin sets up, drivers connect their cars in their browser."""

import re
from datetime import datetime, timedelta

import requests
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from fleetportal import clock
from integrations.clients.readings import ODOMETER, OIL_LIFE
from integrations.models import PortalSettings, Vehicle, VehicleGroup
from integrations.sandbox import Sandbox
from integrations.services import connect_links, link_mails
from integrations.services.measures import KM_PER_MILE
from maintenance.models import Alert, Rule
from maintenance.services import acts, services

USER, PASSWORD = "admin", "demo"
MECHANIC = "mona"
CSRF_FIELD = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
GROUPS = ("North depot", "South depot")


class PortalPageError(Exception):
    """A page of the portal did not answer as a driver would expect."""


def set_up() -> None:
    """An admin who can log in, and what the fleet is called."""
    get_user_model().objects.create_superuser(
        USER, email="admin@example.com", password=PASSWORD, first_name="Alex"
    )
    PortalSettings(fleet_name="Blue Heron Deliveries", contact_email="fleet@example.com").save()
    for name in GROUPS:
        VehicleGroup.objects.create(name=name)
    workshop = Group.objects.create(name="Workshop")
    mechanic = get_user_model().objects.create_user(
        MECHANIC, email="mona.reyes@example.com", first_name="Mona", is_staff=True
    )
    mechanic.groups.add(workshop)
    for rule in Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE):
        rule.staff_groups.add(workshop)


def connect_drivers(sandbox: Sandbox, portal_url: str) -> int:
    """Every simulated driver gets a link and connects through the real pages; returns how many."""
    groups = list(VehicleGroup.objects.order_by("pk"))
    drivers = sandbox.fleet.drivers
    for number, someone in enumerate(drivers):
        driver = connect_links.invite(email=someone.email, name=someone.name, now=clock.now())
        group = groups[number % len(groups)]
        link = connect_links.create(driver, group=group, now=clock.now())
        link_mails.send(link, now=clock.now())
        _connect(sandbox, someone.email, portal_url + connect_links.path(link))
    return len(drivers)


def leave_something_to_do(now: datetime) -> None:
    """Somebody takes care of one alert, and one invitation is still open."""
    mechanic = get_user_model().objects.get(username=MECHANIC)
    alert = Alert.objects.announced().filter(kind=Rule.Kind.TROUBLE_CODE).first()
    if alert is not None:
        acts.acknowledge(alert, user=mechanic, note="Booked for Thursday", now=now)
    waiting = connect_links.invite(email="sam.newcomer@example.com", name="Sam Newcomer", now=now)
    link_mails.send(connect_links.create(waiting, now=now), now=now)


def _connect(sandbox: Sandbox, driver: str, link: str) -> None:
    """Open the link, press the button, allow at Connect, come back."""
    with requests.Session() as browser:
        browser.trust_env = False
        page = browser.get(link, timeout=30)
        field = CSRF_FIELD.search(page.text)
        if page.status_code != 200 or field is None:
            raise PortalPageError(f"The portal link answered {page.status_code}.")
        away = browser.post(
            link,
            data={"csrfmiddlewaretoken": field[1]},
            headers={"Referer": link},
            allow_redirects=False,
            timeout=30,
        )
        back = sandbox.smartcar.connect.approve(away.headers["Location"], driver=driver)
        answer = browser.get(back, timeout=60)
        if answer.status_code != 200:
            raise PortalPageError(f"The way back from Connect answered {answer.status_code}.")


def record_services(now: datetime) -> None:
    """The fleet's memory of earlier services: some cars are due, some are not yet."""
    driven = (6_900, 4_850, 900, 7_700, 5_150, 2_300)
    cars = Vehicle.objects.filter(signals__code=ODOMETER, signals__value__isnull=False)
    for number, vehicle in enumerate(cars.order_by("pk")):
        odometer = vehicle.signals.get(code=ODOMETER).value or 0
        since = driven[number % len(driven)] * KM_PER_MILE
        if odometer <= since:
            continue
        # Worn oil is left to the oil's own rule.
        worn = vehicle.signals.filter(code=OIL_LIFE, value__lt=40).exists()
        services.record(
            vehicle,
            topic="tire-rotation" if worn or number % 3 == 0 else "engine-oil",
            odometer_km=odometer - since,
            done_on=(now - timedelta(days=since / 60)).date(),
            note="Entered from the workshop's invoice",
            now=now,
        )
