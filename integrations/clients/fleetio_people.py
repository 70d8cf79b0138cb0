"""Fleetio's contacts, whom issues are assigned to, and its labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integrations.clients.fleetio_values import read_id, text_of
from integrations.clients.fleetio_wire import FleetioWire


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A person of the account, who need not be a user. `email` is as somebody typed it."""

    id: int
    name: str
    email: str
    archived: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One of the account's own labels."""

    id: int
    name: str


class PeopleCalls(FleetioWire):
    def list_contacts(self) -> list[Contact]:
        """All contacts that the account lists; archived ones may be among them.

        https://developer.fleetio.com/docs/api/contacts-index
        """
        return self._all("/contacts", {}, read_contact)

    def find_contacts(self, email: str) -> list[Contact]:
        """Contacts with this address, in any case, as far as Fleetio finds them.

        Compared again here, because an unknown filter may be ignored.
        https://developer.fleetio.com/docs/overview/filtering-and-sorting
        """
        found = self._all("/contacts", {"filter[email][eq]": email}, read_contact)
        return [contact for contact in found if contact.email.casefold() == email.casefold()]

    def list_labels(self) -> list[Label]:
        """The labels of the account: https://developer.fleetio.com/docs/api"""
        return self._all("/labels", {}, read_label)

    def create_label(self, name: str) -> Label:
        """Create a label: https://developer.fleetio.com/docs/api"""
        return self._create("/labels", {"name": name}, read_label)


def read_contact(row: Mapping[str, Any]) -> Contact:
    """Who has no `name` has parts of one."""
    parts = (text_of(row.get(key)) for key in ("first_name", "last_name"))
    return Contact(
        id=read_id(row.get("id")),
        name=text_of(row.get("name")) or " ".join(filter(None, parts)),
        email=text_of(row.get("email")),
        archived=bool(row.get("archived_at")),
    )


def read_label(row: Mapping[str, Any]) -> Label:
    """Names are the account's own."""
    return Label(id=read_id(row.get("id")), name=text_of(row.get("name")))
