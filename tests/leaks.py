"""Looks for secrets in whatever a portal writes down, in clear and in the usual disguises."""

import json
import logging
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, quote_plus

from celery.signals import before_task_publish
from django.contrib.sessions.models import Session
from django.db import connection

PART = 20  # as much of a long secret is too much


class Seen:
    """Every record: as the portal's own handler writes it, and what it carries for others.

    Addresses that are keys are hidden when written; no record may carry any other secret.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.carried_lines: list[str] = []
        self.handler = logging.Handler(logging.DEBUG)
        (own,) = (h for h in logging.getLogger().handlers if h.get_name() == "console")
        self.handler.setFormatter(own.formatter)
        self.handler.emit = self._keep  # type: ignore[method-assign]

    def _keep(self, record: logging.LogRecord) -> None:
        self.lines.append(self.handler.format(record))
        carried = {name: value for name, value in vars(record).items() if name != "request"}
        self.carried_lines.append(f"{record.args!r} {carried!r}")

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def carried(self) -> str:
        return "\n".join(self.carried_lines)


@contextmanager
def listening() -> Iterator[Seen]:
    """All loggers, also those that do not pass on, at DEBUG."""
    seen = Seen()
    names = [None, *logging.Logger.manager.loggerDict]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        if name is None or not logger.propagate:
            logger.addHandler(seen.handler)
    try:
        yield seen
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
            logging.getLogger(name).removeHandler(seen.handler)


@contextmanager
def overhearing() -> Iterator[list[Any]]:
    """What would travel through the broker."""
    messages: list[Any] = []

    def keep(body: Any, headers: Any, **kwargs: Any) -> None:
        messages.append((body, headers, kwargs.get("properties")))

    before_task_publish.connect(keep)
    try:
        yield messages
    finally:
        before_task_publish.disconnect(keep)


def everything_stored() -> dict[str, str]:
    """Every value of every column of every table, as the database itself gives it, by table.

    What sessions hold is packed but not secret, so it is opened.
    """
    tables: dict[str, str] = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            tables[table] = "\n".join(map(repr, cursor.fetchall()))
    opened = [repr(session.get_decoded()) for session in Session.objects.all()]
    tables["django_session"] += "\n".join(opened)
    return tables


def disguises(secret: str) -> set[str]:
    """The secret as it is, cut short, quoted for an address or JSON, in hex, inside of base64."""
    raw = secret.encode()
    found = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    found |= {secret[:PART], secret[-PART:]}
    found |= {repr(secret)[1:-1], raw.hex()}
    for encode in (b64encode, urlsafe_b64encode):
        for before in range(3):  # what stands before it shifts the letters
            text = encode(b"\0" * before + raw).decode()
            first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
            found.add(text[first:last])
    return found


def leaks(secrets: Mapping[str, str], places: Mapping[str, str]) -> list[str]:
    """Which secret can be read where."""
    return [
        f"{what} in {place}"
        for what, secret in secrets.items()
        for form in [disguises(secret)]
        for place, text in places.items()
        if any(disguise in text for disguise in form)
    ]
