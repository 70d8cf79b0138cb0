"""What is asked of Fleetio about vehicles: https://developer.fleetio.com/docs/api"""

from collections.abc import Mapping
from typing import Any

from integrations.clients.fleetio_records import (
    FleetioVehicle,
    VehicleDraft,
    VehicleLabel,
    read_vehicle,
    read_vehicle_label,
)
from integrations.clients.fleetio_wire import FleetioWire


class VehicleCalls(FleetioWire):
    def list_vehicles(self) -> list[FleetioVehicle]:
        """All vehicles that are not archived, or an error: never some of them."""
        return self._all("/vehicles", {}, read_vehicle)

    def find_vehicles(self, *, vin: str) -> list[FleetioVehicle]:
        """Vehicles with this VIN that are not archived; the spelling may differ in case.

        Compared again here, because an unknown filter may be ignored.
        https://developer.fleetio.com/docs/api/v-1-vehicles-index
        """
        found = self._all("/vehicles", {"filter[vin][like]": vin}, read_vehicle)
        return [vehicle for vehicle in found if vehicle.vin == vin.upper()]

    def list_archived_vehicles(self) -> list[FleetioVehicle]:
        """All vehicles that are archived: the list of vehicles leaves them out.

        https://developer.fleetio.com/docs/api names no filter for GET /vehicles/archived.
        """
        return self._all("/vehicles/archived", {}, read_vehicle)

    def get_vehicle(self, vehicle_id: int) -> FleetioVehicle:
        """One vehicle as it is now; REJECTED with status 404 when it was deleted.

        https://developer.fleetio.com/docs/api/v-1-vehicles-show
        """
        return self._one(f"/vehicles/{vehicle_id}", read_vehicle)

    def create_vehicle(self, draft: VehicleDraft) -> FleetioVehicle:
        """Create a vehicle. A name or a VIN that is taken is REJECTED, with the field's message.

        https://developer.fleetio.com/docs/api/vehicles-create
        """
        return self._create("/vehicles", draft.to_json(), read_vehicle)

    def update_vehicle(self, vehicle_id: int, fields: Mapping[str, Any]) -> None:
        """Change just these fields of a vehicle; any answer but an error is success.

        Fleetio says 200 with the record in one place and 204 in another.
        https://developer.fleetio.com/docs/api/v-1-vehicles-update
        """
        self._request("PATCH", f"/vehicles/{vehicle_id}", json=fields)

    def list_vehicle_statuses(self) -> list[VehicleLabel]:
        """The vehicle statuses of the account: https://developer.fleetio.com/docs/api"""
        return self._all("/vehicle_statuses", {}, read_vehicle_label)

    def list_vehicle_types(self) -> list[VehicleLabel]:
        """The vehicle types of the account: https://developer.fleetio.com/docs/api"""
        return self._all("/vehicle_types", {}, read_vehicle_label)
