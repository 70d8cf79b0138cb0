"""Fleetio's API. One attempt a call, ClientError otherwise.

https://developer.fleetio.com/docs/overview/quick-start. The API knows no idempotency key: an
error with `may_have_happened` must be looked up before it is repeated.
"""

from integrations.clients.fleetio_faults import Fault, FaultCalls, FaultDraft, FaultRule
from integrations.clients.fleetio_issue_records import Comment, FleetioIssue, IssueDraft
from integrations.clients.fleetio_issues import IssueCalls
from integrations.clients.fleetio_meters import (
    BULK_JOBS,
    BULK_RECORDS,
    BulkJob,
    MeterCalls,
    meter_record,
)
from integrations.clients.fleetio_moves import IssueCall, Move, parse_call
from integrations.clients.fleetio_people import Contact, Label, PeopleCalls
from integrations.clients.fleetio_records import (
    FleetioVehicle,
    MeterEntry,
    Priority,
    VehicleDraft,
    VehicleLabel,
)
from integrations.clients.fleetio_service import ServiceCalls, ServiceEntry, ServiceTask
from integrations.clients.fleetio_vehicles import VehicleCalls

__all__ = [
    "BULK_JOBS",
    "BULK_RECORDS",
    "BulkJob",
    "Comment",
    "Contact",
    "Fault",
    "FaultDraft",
    "FaultRule",
    "FleetioClient",
    "FleetioIssue",
    "FleetioVehicle",
    "IssueCall",
    "IssueDraft",
    "Label",
    "MeterEntry",
    "Move",
    "Priority",
    "ServiceEntry",
    "ServiceTask",
    "VehicleDraft",
    "VehicleLabel",
    "meter_record",
    "parse_call",
]


class FleetioClient(VehicleCalls, MeterCalls, IssueCalls, FaultCalls, ServiceCalls, PeopleCalls):
    """One account. Each request passes `gate`."""

    def check_account(self) -> str | None:
        """The name of the account whose token is ours; None when the key does not reach it.

        The call goes without our account token: a wrong one would be refused like a wrong key.
        """
        response = self._request("GET", "/accounts", names_account=False)
        answer = self._json(response, "GET /accounts")
        rows = answer.get("records", [answer]) if isinstance(answer, dict) else answer
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict) and row.get("token") == self._account_token:
                return str(row.get("name") or "")
        return None
