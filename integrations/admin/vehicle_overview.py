"""What the overview says of vehicles, and the first steps with them."""

from django.db.models import Count, Q
from django.utils.translation import gettext as _

from fleetportal.site import FirstStep, Tile
from integrations.admin import words
from integrations.admin.vehicle_filters import ATTENTION
from integrations.models import ConnectLink, Vehicle


def tiles() -> list[Tile]:
    if not Vehicle.objects.exists():
        return []
    said = (
        ("reconnect", _("Driver has to reconnect")),
        ("driver", _("Driver has to act")),
        ("failing", _("Polls fail")),
        ("rules", _("Rules fail")),
    )
    wrong = ATTENTION["reconnect"] | ATTENTION["driver"]
    wrong |= ATTENTION["failing"] | ATTENTION["rules"]
    counts = Vehicle.objects.aggregate(
        wrong=Count("pk", filter=wrong),
        **{name: Count("pk", filter=ATTENTION[name]) for name, _text in said},
    )
    return [
        Tile(
            label=_("Vehicles needing attention"),
            value=str(counts["wrong"]),
            level="due" if counts["wrong"] else "good",
            url=words.list_url(Vehicle),
            lines=[
                (f"{text}: {counts[name]}", words.list_url(Vehicle, f"attention={name}"))
                for name, text in said
                if counts[name]
            ],
        )
    ]


def first_steps() -> list[FirstStep]:
    found = Vehicle.objects.aggregate(
        connected=Count("pk"),
        matched=Count("pk", filter=Q(fleetio_id__isnull=False)),
        read=Count("pk", filter=Q(last_read_at__isnull=False)),
    )
    waiting, cars = words.list_url(ConnectLink), words.list_url(Vehicle)
    steps = (
        ("connected", _("The driver connects a car through the link"), waiting),
        ("matched", _("The car is found in Fleetio by its VIN"), cars),
        ("read", _("The car is read for the first time"), cars),
    )
    return [
        FirstStep(place=place, text=text, url=url, is_done=bool(found[name]))
        for place, (name, text, url) in enumerate(steps, start=2)
    ]
