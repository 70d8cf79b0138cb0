"""The Fleetio fault that an issue about a trouble code is linked to.

A fault needs a rule of its code. Faults are an extra: an issue can be done without one.
"""

from dataclasses import dataclass, field
from typing import Protocol

from integrations.clients.fleetio import Fault, FaultDraft, FaultRule
from maintenance.models import Alert, Rule
from maintenance.services.issue_flaws import done_without

SOURCE = "Fleet Portal"


class FaultClient(Protocol):
    def find_fault_rules(self, code: str) -> list[FaultRule]: ...

    def create_fault_rule(self, code: str, name: str, description: str = "") -> FaultRule: ...

    def list_faults(
        self, *, vehicle_id: int | None = None, code: str = "", external_id: str = ""
    ) -> list[Fault]: ...

    def create_fault(self, draft: FaultDraft) -> Fault: ...


@dataclass(slots=True)
class Made:
    id: int | None = None
    flaws: list[str] = field(default_factory=list)


def make(
    alert: Alert,
    vehicle_id: int,
    *,
    client: FaultClient,
    reference: str,
    looks: bool,
    patient: bool,
) -> Made:
    """The fault of the alert's code, when its rule asks for one; `looks` for an earlier one first.

    Raises ClientError as `done_without` says.
    """
    is_wanted = alert.rule is not None and alert.rule.makes_fault
    if not is_wanted or alert.kind != Rule.Kind.TROUBLE_CODE or not alert.subject:
        return Made()
    made = Made()
    with done_without("no fault", made.flaws, patient=patient):
        made.id = _make(alert, vehicle_id, client, reference, looks=looks).id
    return made


def _make(
    alert: Alert, vehicle_id: int, client: FaultClient, reference: str, *, looks: bool
) -> Fault:
    if looks and (found := client.list_faults(vehicle_id=vehicle_id, external_id=reference)):
        return found[0]
    code = alert.subject
    if not client.find_fault_rules(code):
        client.create_fault_rule(code, alert.summary)
    return client.create_fault(
        FaultDraft(
            vehicle_id=vehicle_id,
            code=code,
            name=alert.summary,
            external_id=reference,
            source=SOURCE,
            last_occurred_at=alert.reported_at,
        )
    )
