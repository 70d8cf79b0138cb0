"""The account's own priorities, contacts and labels, by the names that a rule gives them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from django.core.cache import cache

from integrations.clients.fleetio import Contact, Label, Priority
from maintenance.models import Rule
from maintenance.models.rules import split
from maintenance.services.issue_flaws import done_without

KEPT = 3600  # seconds
MOST_CONTACTS = 10  # Fleetio assigns no more to one issue

_Record = TypeVar("_Record")


class PeopleClient(Protocol):
    def list_priorities(self) -> list[Priority]: ...

    def list_contacts(self) -> list[Contact]: ...

    def list_labels(self) -> list[Label]: ...

    def create_label(self, name: str) -> Label: ...


@dataclass(slots=True)
class People:
    """What was found. `flaws` says what was not, in words for people."""

    priority_id: int | None = None
    contact_ids: tuple[int, ...] = ()
    label_ids: tuple[int, ...] = ()
    flaws: list[str] = field(default_factory=list)


def look_up(rule: Rule | None, *, client: PeopleClient, afresh: bool, patient: bool) -> People:
    """What the rule asks for. Raises ClientError as `done_without` says.

    Labels that are missing are made; `afresh` looks again for one that may have been made.
    """
    found = People()
    if rule is None:
        return found
    with done_without("no priority", found.flaws, patient=patient):
        found.priority_id = _priority_id(client, rule)
    with done_without("nobody assigned", found.flaws, patient=patient):
        found.contact_ids = tuple(_contact_ids(client, split(rule.contacts), found.flaws))
    label_ids: dict[int, None] = {}
    for name in dict.fromkeys(split(rule.labels)):
        with done_without(f"no label {name}", found.flaws, patient=patient):
            label_ids[_label_id(client, name, afresh=afresh)] = None
    found.label_ids = tuple(label_ids)
    return found


def _kept(name: str, read: Callable[[], list[_Record]], *, afresh: bool = False) -> list[_Record]:
    key = f"fleetio-{name}"
    known: list[_Record] | None = None if afresh else cache.get(key)
    if known is None:
        known = read()
        cache.set(key, known, KEPT)
    return known


def _priority_id(client: PeopleClient, rule: Rule) -> int | None:
    """The account's id for the rule's priority, by alias or name; None when it has none."""
    if rule.priority == Rule.Priority.NONE:
        return None
    ids: dict[str, int] = {}
    for priority in _kept("priorities", client.list_priorities):
        for name in (priority.name, priority.alias):
            ids[(name or "").strip().lower().replace(" ", "_")] = priority.id
    return ids.get(rule.priority)


def _contact_ids(client: PeopleClient, names: tuple[str, ...], flaws: list[str]) -> list[int]:
    if not names:
        return []
    contacts = _kept("contacts", client.list_contacts)
    ids: list[int] = []
    for name in names:
        wanted = name.casefold()
        found = {
            contact.id
            for contact in contacts
            if not contact.archived
            and wanted in (contact.email.casefold(), contact.name.casefold())
        }
        if len(found) == 1:
            ids += found
        else:
            how_many = "several contacts are" if found else "no contact is"
            flaws.append(f"{how_many} called {name}")
    ids = list(dict.fromkeys(ids))
    if len(ids) > MOST_CONTACTS:
        flaws.append(f"only the first {MOST_CONTACTS} contacts were assigned")
    return ids[:MOST_CONTACTS]


def _label_id(client: PeopleClient, name: str, *, afresh: bool) -> int:
    """Look it up, the second time in a list that is new; make it only when both lack it."""
    for again in (afresh, True):
        for label in _kept("labels", client.list_labels, afresh=again):
            if label.name.casefold() == name.casefold():
                return label.id
    made = client.create_label(name)
    cache.delete("fleetio-labels")
    return made.id
