"""The account's own priorities, contacts and labels, by the names that a rule gives them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from django.core.cache import cache

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.fleetio import Contact, Label, Priority
from maintenance.models import Rule
from maintenance.models.rules import split

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


def look_up(rule: Rule | None, *, client: PeopleClient, afresh: bool) -> People:
    """What the rule asks for. Only an answer that may be another one later raises ClientError.

    Labels that are missing are made; `afresh` looks again for one that may have been made.
    """
    found = People()
    if rule is None:
        return found
    found.priority_id = _priority_id(client, rule)
    found.contact_ids = tuple(_contact_ids(client, split(rule.contacts), found.flaws))
    found.label_ids = tuple(_label_ids(client, split(rule.labels), found.flaws, afresh=afresh))
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
    try:
        contacts = _kept("contacts", client.list_contacts)
    except ClientError as exc:
        _say_or_raise(exc, f"nobody assigned: {exc}", flaws)
        return []
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


def _label_ids(
    client: PeopleClient, names: tuple[str, ...], flaws: list[str], *, afresh: bool
) -> list[int]:
    ids: list[int] = []
    for name in dict.fromkeys(names):
        try:
            ids.append(_label_id(client, name, afresh=afresh))
        except ClientError as exc:
            _say_or_raise(exc, f"no label {name}: {exc}", flaws)
    return list(dict.fromkeys(ids))


def _label_id(client: PeopleClient, name: str, *, afresh: bool) -> int:
    """Look it up, the second time in a list that is new; make it only when both lack it."""
    for again in (afresh, True):
        for label in _kept("labels", client.list_labels, afresh=again):
            if label.name.casefold() == name.casefold():
                return label.id
    made = client.create_label(name)
    cache.delete("fleetio-labels")
    return made.id


def _say_or_raise(exc: ClientError, text: str, flaws: list[str]) -> None:
    """What is refused is done without; what failed is tried again with the whole issue."""
    if exc.outcome is not Outcome.REJECTED:
        raise exc
    flaws.append(text)
