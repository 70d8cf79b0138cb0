"""What people do in Fleetio's own pages, and the account they find at first."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from integrations.sandbox.fleet import Fleet
from integrations.sandbox.fleetio_comments import create_contact, write_comment
from integrations.sandbox.fleetio_issues import move_issue
from integrations.sandbox.fleetio_lists import Row
from integrations.sandbox.fleetio_meters import create_meter_entry
from integrations.sandbox.fleetio_records import Records
from integrations.sandbox.fleetio_service import create_service_entry

KM_PER_MILE = 1.609344
MECHANIC = "Sam Porter"


class People:
    """The people of the account that is kept in `records`."""

    records: Records

    def move_issue(self, issue_id: int, move: str, note: str | None = None) -> Row:
        """Let a mechanic `close`, `resolve` or `reopen` an issue, as in Fleetio's own pages."""
        return move_issue(self.records, self.records.get("issues", issue_id), move, note)

    def comment(self, issue_id: int, text: str, author: str = MECHANIC) -> Row:
        """Let somebody write beside an issue."""
        body = {"commentable_type": "Issue", "commentable_id": issue_id, "comment": text}
        return write_comment(self.records, body, author)

    def add_service_entry(
        self,
        vin: str,
        *,
        tasks: Iterable[str] = (),
        issue_ids: Iterable[int] = (),
        meter_value: float | None = None,
        completed_at: datetime | None = None,
    ) -> Row:
        """Let a mechanic write down work that was done, now unless said otherwise.

        `tasks` are names of service tasks. `meter_value` is in the vehicle's unit; without it the
        last one known is taken. The issues are resolved by it.
        """
        with self.records.lock:
            vehicle = self.records.vehicle(vin)
            ids = {row["name"]: row["id"] for row in self.records.rows("service_tasks")}
            known = float(vehicle["primary_meter_value"])
            body = {
                "vehicle_id": vehicle["id"],
                "completed_at": (completed_at or self.records.clock()).isoformat(),
                "meter_entry_attributes": {"value": known if meter_value is None else meter_value},
                "service_task_ids": [ids[name] for name in tasks],
                "issue_ids": list(issue_ids),
            }
            return create_service_entry(self.records, body)


def add_fleet(records: Records, fleet: Fleet) -> None:
    """Put the drivers and most cars into the account: with four cars or more, one counts in km, one
    in hours, and one is not there.
    """
    status = records.rows("vehicle_statuses")[0]["id"]
    type_ids = {row["name"]: row["id"] for row in records.rows("vehicle_types")}
    units = {1: "km", 2: "hr", len(fleet.cars) - 1: ""} if len(fleet.cars) >= 4 else {}
    for place, car in enumerate(fleet.cars):
        if not (unit := units.get(place, "mi")):
            continue
        vehicle = records.create_vehicle(
            {
                "name": car.name,
                "vin": car.vin,
                "make": car.make.title(),
                "model": car.model,
                "year": car.year,
                "primary_meter_unit": unit,
                "vehicle_status_id": status,
                "vehicle_type_id": type_ids["Car" if car.is_electric else "Van"],
            }
        )
        _add_first_reading(records, vehicle, car.odometer_km, fleet.now)
    for name, email in ((driver.name, driver.email) for driver in fleet.drivers):
        first, _, last = name.partition(" ")
        create_contact(records, {"first_name": first, "last_name": last, "email": email})


def _add_first_reading(records: Records, vehicle: Row, odometer_km: float, now: datetime) -> None:
    known_km = odometer_km - 400
    values = {"km": known_km, "mi": known_km / KM_PER_MILE, "hr": known_km / 40}
    create_meter_entry(
        records,
        {
            "vehicle_id": vehicle["id"],
            "value": round(values[vehicle["primary_meter_unit"]], 1),
            "date": (now - timedelta(days=7)).isoformat(),
        },
    )
