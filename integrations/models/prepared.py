"""Queries that every poll makes, with SQL that is written once.

Writing the SQL of a query costs Django several times what running it on the rows of one car
costs, and it is the same SQL each time. Here a process writes it once, and then only the values
change. No answer is kept: every call asks the database.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import DateTimeField, Expression, Field, JSONField, Model, QuerySet
from django.db.models.query import get_related_populators
from django.db.models.sql import UpdateQuery

M = TypeVar("M", bound=Model)
T = TypeVar("T")
NEW = "new "  # in names: a column's new value, beside a given one of the same name


_thread = threading.local()


class _Given(Expression):
    """Stands for a value that comes with each call."""

    def __init__(self, name: str, field: Any) -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", (self,)


def given(name: str, field: "type[Field[Any, Any]]") -> Any:
    """A value of this name and type that comes with each call."""
    return _Given(name, field())


@dataclass(frozen=True, slots=True)
class Statement(Generic[T]):
    """SQL with its values, and what the answer to it means."""

    sql: str
    params: Sequence[Any]
    answer: Callable[[Any], T]  # asked of the cursor

    def run(self) -> T:
        cursor = _cursor()
        cursor.execute(self.sql, self.params)
        return self.answer(cursor)


def together(*statements: Statement[Any]) -> list[Any]:
    """Run all of them in this order, in one round trip where the database takes several.

    Outside a transaction they are one there, and one each elsewhere.
    """
    features: Any = connection.features
    if len(statements) < 2 or getattr(features, "uses_server_side_binding", True):
        return [statement.run() for statement in statements]
    cursor = _cursor()
    cursor.execute(
        "; ".join(statement.sql for statement in statements),
        [value for statement in statements for value in statement.params],
    )
    answers = []
    for statement in statements:
        answers.append(statement.answer(cursor))
        cursor.nextset()
    return answers


def _cursor() -> Any:
    """This thread's cursor for all of these statements: a new one costs as much as a question."""
    if connection.queries_logged:
        return connection.cursor()
    connection.close_if_health_check_failed()  # as for every new cursor
    known = getattr(_thread, "cursor", None)
    if known is None or known.connection is not connection.connection:  # it was lost or closed
        known = _thread.cursor = connection.cursor()
    return known


class _Written:
    """SQL with places for values, and how its answers are read."""

    def __init__(self, query: Any) -> None:
        self.model = query.model
        self._compiler = compiler = query.get_compiler(connection=connection)
        self.sql, params = compiler.as_sql()
        self._params = [
            (p.name, _adapter(p.field)) if isinstance(p, _Given) else (None, p) for p in params
        ]
        selected = getattr(compiler, "select", None) or ()
        self._converters = compiler.get_converters([column for column, _sql, _alias in selected])
        self._makes = compiler.klass_info if selected else None
        self._annotations = compiler.annotation_col_map if selected else None
        if self._makes:
            places = self._makes["select_fields"]
            self._own = slice(places[0], places[-1] + 1)
            self._names = [column.target.attname for column, _sql, _alias in selected[self._own]]
            # Django 6.1 wants one more argument, and the types are of it.
            self._related = get_related_populators(  # type: ignore[call-arg]
                self._makes, selected, DEFAULT_DB_ALIAS
            )

    def params(self, values: Mapping[str, Any]) -> list[Any]:
        return [p if name is None else p(values[name]) for name, p in self._params]

    def fetch(self, cursor: Any) -> Iterable[Sequence[Any]]:
        found: Iterable[Sequence[Any]] = cursor.fetchall()
        return (
            self._compiler.apply_converters(found, self._converters) if self._converters else found
        )

    def make(self, row: Sequence[Any]) -> Any:
        """The object of one row, as a queryset makes it."""
        made = self.model.from_db(DEFAULT_DB_ALIAS, self._names, row[self._own])
        for related in self._related:
            related.populate(row, made)
        for name, place in (self._annotations or {}).items():
            setattr(made, name, row[place])
        return made


class Prepared(Generic[M]):
    """A queryset with `given` values in its filters; each call makes a statement to run.

    `sets` are the expressions that an update writes besides plain values.
    """

    def __init__(
        self, build: Callable[[], QuerySet[M, Any]], sets: Callable[[], Mapping[str, Any]] = dict
    ) -> None:
        self._build, self._sets = build, sets
        self._written: dict[tuple[str, ...] | None, _Written] = {}

    def rows(self, **values: Any) -> Statement[list[M]]:
        """What it finds."""
        written = self._select()
        return Statement(
            written.sql, written.params(values), lambda cursor: self.make(written.fetch(cursor))
        )

    def values(self, **values: Any) -> Statement[list[Sequence[Any]]]:
        """What it finds, as the columns' values."""
        written = self._select()
        return Statement(
            written.sql, written.params(values), lambda cursor: list(written.fetch(cursor))
        )

    def make(self, rows: Iterable[Sequence[Any]]) -> list[M]:
        """The objects of such rows as `values` gives."""
        make = self._select().make
        return [make(row) for row in rows]

    def update(self, columns: Mapping[str, Any] | None = None, **values: Any) -> Statement[int]:
        """Write values into columns of all that it finds; how many rows."""
        new = columns or {}
        names = tuple(new)
        written = self._written.get(names)
        if written is None:
            written = self._written[names] = self._write_update(names)
        params = written.params({**values, **{NEW + name: new[name] for name in names}})
        return Statement(written.sql, params, _count)

    def _select(self) -> _Written:
        written = self._written.get(None)
        if written is None:
            written = self._written[None] = _Written(self._build().query)
        return written

    def _write_update(self, names: Iterable[str]) -> _Written:
        found = self._build()
        query: Any = found.query.chain(UpdateQuery)
        plain = {name: _Given(NEW + name, found.model._meta.get_field(name)) for name in names}
        query.add_update_values({**self._sets(), **plain})
        return _Written(query)


def insert(
    model: type[Model],
    rows: Sequence[Any],
    columns: tuple[str, ...],
    *,
    unique: tuple[str, ...] = (),
    update: tuple[str, ...] = (),
) -> Statement[int]:
    """Insert rows of plain values; one that is there already gets `update`, or stays as it is.

    As `bulk_create` does, which makes an expression of every single value. A row is any object
    with the columns as attributes.
    """
    if connection.vendor == "postgresql" and len(rows) > 1:
        # One value instead of hundreds: psycopg looks for each place in the SQL every time.
        return Statement(
            _insert_sql(model, columns, unique, update), [_as_json(rows, columns)], _count
        )
    adapters = _adapters(model, columns)
    values = [adapt(getattr(row, name)) for row in rows for name, adapt in adapters]
    return Statement(_insert_sql(model, columns, unique, update, len(rows)), values, _count)


@lru_cache(maxsize=128)
def _insert_sql(
    model: type[Model],
    columns: tuple[str, ...],
    unique: tuple[str, ...],
    update: tuple[str, ...],
    rows: int = 0,
) -> str:
    """With places for the values of so many rows; with none, for one JSON of them all."""
    quote = connection.ops.quote_name
    table, names = quote(model._meta.db_table), ", ".join(map(quote, columns))
    news = ", ".join(f"{quote(name)} = EXCLUDED.{quote(name)}" for name in update)
    conflict = f"({', '.join(map(quote, unique))}) DO UPDATE SET {news}" if news else "DO NOTHING"
    source = f"SELECT {names} FROM jsonb_populate_recordset(NULL::{table}, %s)"  # noqa: S608
    if rows:
        source = "VALUES " + ", ".join([f"({', '.join(['%s'] * len(columns))})"] * rows)
    return f"INSERT INTO {table} ({names}) {source} ON CONFLICT {conflict}"  # the model's own names


@lru_cache(maxsize=128)
def _adapters(
    model: type[Model], columns: tuple[str, ...]
) -> list[tuple[str, Callable[[Any], Any]]]:
    return [(name, _adapter(model._meta.get_field(name))) for name in columns]


def _count(cursor: Any) -> int:
    return int(cursor.rowcount)


def _as_json(rows: Iterable[Any], columns: Iterable[str]) -> str:
    return json.dumps(
        [{name: getattr(row, name) for name in columns} for row in rows], default=datetime.isoformat
    )


def _adapter(field: Any) -> Callable[[Any], Any]:
    """What the database wants for a value of this field."""
    if isinstance(field, JSONField):
        to_json = connection.ops.adapt_json_value
        return lambda value: None if value is None else to_json(value, field.encoder)
    if isinstance(field, DateTimeField):
        adapt: Callable[[Any], Any] = connection.ops.adapt_datetimefield_value
        return adapt
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value
