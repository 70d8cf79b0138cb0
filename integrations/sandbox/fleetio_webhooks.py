"""What Fleetio tells by itself: https://developer.fleetio.com/docs/overview/webhooks"""

import copy
import hashlib
import hmac
import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from integrations.sandbox.fleetio_lists import Row
from integrations.sandbox.fleetio_records import Records
from integrations.sandbox.webhook_sender import Sender

# About five in the first hour, then hourly until a day has passed.
WAITS = (0, 60, 300, 900, 1800, *([3600] * 24))
ZONE = ZoneInfo("America/Chicago")  # of an account that chose none
# Which events there are of each table, and how their names begin.
EVENTS = {
    "issues": ("issue", {"created", "updated", "closed", "resolved"}),
    "vehicles": ("vehicle", {"created", "updated"}),
    "meter_entries": ("meter_entry", {"created", "updated"}),
    "service_entries": ("service_entry", {"created", "updated"}),
    "faults": ("fault", {"created", "resolved"}),
    "contacts": ("contact", {"created", "updated"}),
    "imports": ("import", {"completed"}),
}
COMMENTED = {"Issue": "issue", "ServiceEntry": "service_entry"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetioEvent:
    """One thing that happened; each delivery of it is the same."""

    content: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The same for each delivery."""
        return str(self.content["id"])

    @property
    def type(self) -> str:
        """Such as issue_updated."""
        return str(self.content["event"])


class FleetioWebhooks(Sender[FleetioEvent]):
    """Tells of what changes in the account. Off until `url` is set; how it sends is said at
    `Sender`, signed with `key`.

    Updates are gathered for `gathering` seconds of real time (None: until `flush`), shortened like
    the waits by `compress`; then each changed record is told of once, as it is by then.
    """

    waits: Sequence[float] = WAITS
    accepted = range(200, 201)
    timeout = 30.0

    def __init__(self, records: Records, *, key: str) -> None:
        super().__init__(records.clock)
        self.key = key
        self.gathering: float | None = 60.0
        self._records = records
        self._updated: dict[tuple[str, int], Row] = {}
        self._numbers = itertools.count(70_001)
        records.listener = self._hear

    def package(self, event: FleetioEvent) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of one delivery."""
        body = json.dumps(event.content, separators=(",", ":")).encode()
        signature = hmac.new(self.key.encode(), body, hashlib.sha256).hexdigest()
        return body, {
            "Content-Type": "application/json",
            "X-Fleetio-Webhook-Signature": signature,
        }

    def event(self, name: str, payload: Row) -> FleetioEvent:
        """Return an event of now, with an id of its own, without sending it."""
        content = {
            "id": next(self._numbers),
            "event": name,
            "timestamp": self._clock().astimezone(ZONE).isoformat(timespec="milliseconds"),
            "triggered_by": None,
            "payload": payload,
        }
        return FleetioEvent(content=content)

    def flush(self) -> list[FleetioEvent]:
        """Tell of all updates that were gathered so far."""
        with self._records.lock:
            rows, self._updated = self._updated, {}
            events = [self._told(kind, "updated", row) for (kind, _), row in rows.items()]
        self.dispatch(events, wait=False)
        return events

    def _hear(self, kind: str, what: str, row: Row) -> None:
        """Called with the account's lock held: sending waits for nothing."""
        if self.url is None and self._held is None:
            return
        commented = COMMENTED.get(str(row.get("commentable_type"))) if kind == "comments" else ""
        if commented:
            self.dispatch(
                [self.event(f"{commented}_comment_added", copy.deepcopy(row))], wait=False
            )
        elif what in EVENTS.get(kind, ("", set()))[1]:
            if what == "updated":
                self._gather(kind, row)
            else:
                self.dispatch([self._told(kind, what, row)], wait=False)

    def _gather(self, kind: str, row: Row) -> None:
        is_first = not self._updated
        self._updated[kind, row["id"]] = row
        if is_first and self.gathering is not None:
            name, args = "sandbox-gathering", (self.gathering * self.compress,)
            threading.Thread(target=self._flush_after, args=args, daemon=True, name=name).start()

    def _flush_after(self, wait: float) -> None:
        if not self._stopping.wait(wait):
            self.flush()

    def _told(self, kind: str, what: str, row: Row) -> FleetioEvent:
        return self.event(f"{EVENTS[kind][0]}_{what}", self._payload(kind, row))

    def _payload(self, kind: str, row: Row) -> Row:
        """The record in the shape of older versions, which name the vehicle flatly."""
        shown = copy.deepcopy(row)
        vehicle = self._records.find("vehicles", row.get("vehicle_id"))
        if vehicle is not None:
            shown["vehicle_name"] = vehicle["name"]
        if kind == "issues":
            shown = {name: value for name, value in shown.items() if not name.startswith("asset")}
            shown |= {"name": row["summary"], "reported_by_name": None, "group_name": None}
        return shown
