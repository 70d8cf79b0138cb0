"""How often makers refresh their cars' data, in minutes: the slow end of the ranges that
Smartcar publishes (https://smartcar.com/docs/help/frequencies). Editable in the admin.
"""

from django.db import migrations

MINUTES = {
    60: ["ACURA", "DACIA", "MG", "MINI", "PORSCHE", "RENAULT", "TOYOTA"],
    45: ["BUICK", "CADILLAC", "CHEVROLET", "GMC"],
    30: ["HONDA", "JAGUAR", "LAND ROVER"],
    10: [
        "ALFA ROMEO",
        "BMW",
        "CHRYSLER",
        "CITROEN",
        "DODGE",
        "DS",
        "FIAT",
        "FORD",
        "JEEP",
        "LEXUS",
        "LINCOLN",
        "MAZDA",
        "MERCEDES-BENZ",
        "NISSAN",
        "OPEL",
        "PEUGEOT",
        "RAM",
        "SUBARU",
        "VAUXHALL",
        "VOLKSWAGEN",
    ],
    5: ["AUDI", "HYUNDAI", "KIA", "RIVIAN", "SKODA", "TESLA"],
    3: ["BYD", "POLESTAR", "VOLVO"],
}


def add(apps, schema_editor):
    make = apps.get_model("integrations", "Make")
    for minutes, names in MINUTES.items():
        for name in names:
            make.objects.get_or_create(name=name, defaults={"refresh_minutes": minutes})


class Migration(migrations.Migration):
    dependencies = [("integrations", "0001_initial")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
