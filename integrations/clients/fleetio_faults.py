"""Fleetio's faults, which are trouble codes of a vehicle, and the rules that name them.

https://developer.fleetio.com/docs/api/v-1-faults-create
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from integrations.clients.errors import ClientError
from integrations.clients.fleetio_values import (
    format_time,
    inner_id,
    optional_id,
    read_id,
    text_of,
    time_of,
)
from integrations.clients.fleetio_wire import FleetioWire


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """What the account says about a code; a fault's code must be that of a rule."""

    id: int
    code: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`status` is open, resolved or ignored; `external_id` is what its maker called it."""

    id: int
    vehicle_id: int | None
    code: str
    name: str
    status: str
    external_id: str
    rule_id: int | None
    last_occurred_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultDraft:
    """What a new fault says. A rule's name and description replace its own."""

    vehicle_id: int
    code: str
    name: str = ""
    description: str = ""
    external_id: str = ""
    source: str = ""
    last_occurred_at: datetime | None = None
    count: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The body of POST /faults, and a record of a bulk job."""
        seen_at = self.last_occurred_at
        optional = {
            "name": self.name,
            "description": self.description,
            "external_id": self.external_id,
            "source": self.source,
            "last_occurred_at": None if seen_at is None else format_time(seen_at),
            "count": self.count,
        }
        known = {name: value for name, value in optional.items() if value not in ("", None)}
        return {"vehicle_id": self.vehicle_id, "code": self.code, **known}


class FaultCalls(FleetioWire):
    def find_fault_rules(self, code: str) -> list[FaultRule]:
        """The rules for just this code; Fleetio compares codes to the letter.

        No page names a filter for them: where Fleetio does not know it, all rules are read.
        """
        filtered = {"filter[code][eq]": code}
        try:
            found = self._all("/fault_rules", filtered, read_fault_rule)
        except ClientError as error:
            if error.status_code != 400:
                raise
            found = self._all("/fault_rules", {}, read_fault_rule)
        return [rule for rule in found if rule.code == code]

    def create_fault_rule(self, code: str, name: str, description: str = "") -> FaultRule:
        """Create a rule: https://developer.fleetio.com/docs/api/v-1-fault-rules-create"""
        body = {"code": code, "name": name, "description": description}
        return self._create("/fault_rules", body, read_fault_rule)

    def list_faults(
        self, *, vehicle_id: int | None = None, code: str = "", external_id: str = ""
    ) -> list[Fault]:
        """Faults that agree with all that is given, in any status.

        Compared again here, because an unknown filter may be ignored.
        https://developer.fleetio.com/docs/api/v-1-faults-index
        """
        wanted = {"vehicle_id": vehicle_id, "code": code, "external_id": external_id}
        given = {name: value for name, value in wanted.items() if value not in ("", None)}
        params = {f"filter[{name}][eq]": str(value) for name, value in given.items()}
        return [
            fault
            for fault in self._all("/faults", params, read_fault)
            if all(getattr(fault, name) == value for name, value in given.items())
        ]

    def create_fault(self, draft: FaultDraft) -> Fault:
        """Create a fault. A code without a rule is REJECTED, with the field's message.

        https://developer.fleetio.com/docs/api/v-1-faults-create
        """
        return self._create("/faults", draft.to_json(), read_fault)

    def update_fault(self, fault_id: int, fields: Mapping[str, Any]) -> None:
        """Change just these fields of a fault, its `status` for one; any answer but an error is
        success. No page tells of it: an account may answer 404 or 405.
        """
        self._request("PATCH", f"/faults/{fault_id}", json=fields)


def read_fault_rule(row: Mapping[str, Any]) -> FaultRule:
    """Names are the account's own."""
    return FaultRule(
        id=read_id(row.get("id")), code=text_of(row.get("code")), name=text_of(row.get("name"))
    )


def read_fault(row: Mapping[str, Any]) -> Fault:
    """Lists and single records look the same."""
    status = row.get("status")
    status = status.get("name") if isinstance(status, dict) else status
    return Fault(
        id=read_id(row.get("id")),
        vehicle_id=optional_id(row.get("vehicle_id")),
        code=text_of(row.get("code")),
        name=text_of(row.get("name")),
        status=text_of(status).lower(),
        external_id=text_of(row.get("external_id")),
        rule_id=inner_id(row, "fault_rule"),
        last_occurred_at=time_of(row.get("last_occurred_at")),
        updated_at=time_of(row.get("updated_at")),
    )
