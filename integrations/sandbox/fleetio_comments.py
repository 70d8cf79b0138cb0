"""Fleetio's comments, labels and contacts."""

from integrations.sandbox.fleetio_lists import Row
from integrations.sandbox.fleetio_records import Invalid, Records

COMMENTABLE = {"Issue": "issues", "Vehicle": "vehicles", "ServiceEntry": "service_entries"}
API_AUTHOR = "Fleet Portal"  # the user whose key it is


def create_comment(records: Records, body: Row) -> Row:
    """Store a comment beside a record; raises `Invalid`."""
    return write_comment(records, body, API_AUTHOR)


def write_comment(records: Records, body: Row, author: str) -> Row:
    """Store a comment of somebody; raises `Invalid`."""
    with records.lock:
        errors = {}
        if not str(body.get("comment") or "").strip():
            errors["comment"] = ["can't be blank"]
        table = COMMENTABLE.get(str(body.get("commentable_type")), "")
        if records.find(table, body.get("commentable_id")) is None:
            errors["commentable"] = ["must exist"]
        if errors:
            raise Invalid(errors)
        fields = ("commentable_type", "commentable_id", "comment", "title")
        row = {name: body.get(name) for name in fields}
        return records.insert("comments", {**row, "user_full_name": author, "user_id": None})


def comments_of(records: Records, issue_id: int) -> list[Row]:
    """The comments of an issue, oldest first."""
    return [
        row
        for row in records.rows("comments")
        if row["commentable_type"] == "Issue" and str(row["commentable_id"]) == str(issue_id)
    ]


def create_label(records: Records, body: Row) -> Row:
    """Store a label; a name that is taken is `Invalid`."""
    with records.lock:
        name = str(body.get("name") or "").strip()
        if not name:
            raise Invalid({"name": ["can't be blank"]})
        if any(row["name"].casefold() == name.casefold() for row in records.rows("labels")):
            raise Invalid({"name": ["has already been taken"]})
        return records.insert("labels", {"name": name})


def create_contact(records: Records, body: Row) -> Row:
    """Store a contact, who needs a first name; raises `Invalid`."""
    with records.lock:
        first, last = (str(body.get(name) or "") for name in ("first_name", "last_name"))
        if not first.strip():
            raise Invalid({"first_name": ["can't be blank"]})
        row = {"first_name": first, "last_name": last or None, "email": body.get("email")}
        name = f"{first} {last}".strip()
        return records.insert("contacts", {**row, "name": name, "archived_at": None})


def create_service_task(records: Records, body: Row) -> Row:
    """Store a service task, which needs a name; raises `Invalid`."""
    with records.lock:
        if not str(body.get("name") or "").strip():
            raise Invalid({"name": ["can't be blank"]})
        row = {"name": body["name"], "description": body.get("description")}
        return records.insert("service_tasks", row)
