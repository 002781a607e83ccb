"""Rows of a statement as a frame of pandas, a table of Arrow, or a frame of Polars."""

from __future__ import annotations

import contextlib
import importlib
import operator
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import psycopg2
import sqlalchemy as sa
from psycopg2 import sql

from ticks_platform.reading.arguments import ReadingError, TimeZone, time_zone
from ticks_platform.reading.parts import Array, Form, in_order, resized
from ticks_platform.reading.source import Source
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

To: TypeAlias = Literal["pandas", "arrow", "polars"]

Kind: TypeAlias = Literal["time", "day", "float", "count", "integer", "boolean", "category", "string", "list"]
"""What a column holds, with the dtype of pandas.

time: datetime64, aware; NaT where empty. day: datetime64 without a zone, midnight. float: float64, NaN where empty.
count: int64, never empty. integer: Int64. boolean: bool. category: category. string: string. list: string, with commas.
"""

PART = 50_000
"""Rows that are Python objects at a time."""

_FEWEST = 1_000
"""Rows that are read at a time, at least."""

_NAT = np.iinfo("int64").min

_EXPRESSIONS: dict[str, str] = {
    "time": "(date_part('epoch', {column}) * 1000000)::bigint AS {column}",
    "day": "({column} - DATE '1970-01-01')::bigint AS {column}",
    "list": "array_to_string({column}, ',') AS {column}",
}
"""How a column is selected for pandas, where not as it is: times as microseconds since 1970, which are read in half the
time of aware datetimes. The double of date_part is exact to the microsecond until 2106, and takes half as long as the
numeric of extract."""

_EXPRESSIONS_OF_ARROW: dict[str, str] = {"list": "array_to_string({column}, ',') AS {column}"}


@dataclass(frozen=True)
class Result:
    """A statement and what its columns hold."""

    statement: sql.Composable
    columns: Mapping[str, Kind]
    """In their order; the first is the index."""
    parameters: Mapping[str, Any]
    order: Sequence[str]
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of category columns, where they are known before: those of all parts of a result agree then."""
    ordered_here_by: str | None = None
    """A category column that orders the rows of one time, here, as they arrive: the server, which has an index of times
    alone, would sort all rows on its disk before it sends the first one."""

    def statement_for(self, expressions: Mapping[str, str]) -> sql.Composed:
        """The statement, with its columns as they are transferred, in order."""
        selected = [
            sql.SQL(expressions.get(kind, "{column}")).format(column=sql.Identifier(name))
            for name, kind in self.columns.items()
        ]
        return sql.SQL("SELECT {} FROM ({}) AS found ORDER BY {}").format(
            sql.SQL(", ").join(selected), self.statement, sql.SQL(", ").join(map(_found, self.order))
        )


def _found(name: str) -> sql.Composed:
    # The column of the statement: the selected one of that name may be an expression, which no index has in order.
    return sql.SQL("found.") + sql.Identifier(name)


def read(source: Source, result: Result, *, to: To, tz: TimeZone, chunksize: int | None) -> Any:
    """The rows, in one frame or in frames of `chunksize` rows.

    Raises ReadingError for a form that is none or whose packages are missing, and DatabaseUnavailableError.
    """
    tz = time_zone(tz).key
    if chunksize is not None:
        # Numbers of numpy, too; True is none.
        if isinstance(chunksize, bool) or not hasattr(chunksize, "__index__") or operator.index(chunksize) < 1:
            raise ReadingError(f"chunksize={chunksize!r} is no number of rows: 1 or more")
        chunksize = operator.index(chunksize)
    if to == "pandas":
        return _pandas(source, result, tz, chunksize)
    if to in ("arrow", "polars"):
        tables = _arrow(source, result, tz, chunksize)
        if to == "polars":
            polars = required("polars", "polars")
            tables = (polars.from_arrow(table) for table in tables)
        return tables if chunksize else next(tables)
    raise ReadingError(f"to={to!r} is no form of a frame: 'pandas', 'arrow' or 'polars'")


def required(module: str, extra: str) -> Any:
    """A module that an extra installs. Raises ReadingError without it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ReadingError(
            f"{extra} needs a package that is not installed ({error.name}): pip install 'ticks_platform[{extra}]'"
        ) from None


def _pandas(source: Source, result: Result, tz: str, chunksize: int | None) -> pd.DataFrame | Iterator[pd.DataFrame]:
    columns = _Columns(result)
    rows = PART if chunksize is None else min(max(chunksize, _FEWEST), PART)
    read = _parts(source, columns, rows)
    if result.ordered_here_by is not None:
        read = in_order(read, _ARRAYS, columns.keys)
    if chunksize:
        frames = (_frame(columns, part, tz) for part in resized(read, _ARRAYS, chunksize))
        # The embedded database has one session for all: they must not wait for whoever reads slowly.
        return frames if source.streams else iter([*frames])
    parts = [*read]
    whole = {name: np.concatenate([part.pop(name) for part in parts]) for name in result.columns}
    return _frame(columns, whole, tz)


_Arrays: TypeAlias = "dict[str, Array]"

_ARRAYS: Form[_Arrays] = Form(
    length=lambda part: len(next(iter(part.values()))),
    cut=lambda part, begin, end: {name: values[begin:end] for name, values in part.items()},
    join=lambda parts: (
        parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ),
    take=lambda part, places: {name: values[places] for name, values in part.items()},
)


def _ranks(names: Sequence[str]) -> Array:
    """The place of each name in their order."""
    ranks = np.empty(len(names), dtype="int64")
    ranks[np.argsort(np.array(names, dtype="object"))] = np.arange(len(names))
    return ranks


class _Columns:
    """The columns of a result as arrays of numpy, part by part."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.codes: dict[str, dict[str, int]] = {
            name: {category: code for code, category in enumerate(result.categories.get(name, ()))}
            for name, kind in result.columns.items()
            if kind == "category"
        }
        """Numbers of the categories so far; one that nobody expected gets the next number."""

    def arrays(self, rows: Sequence[Sequence[Any]]) -> _Arrays:
        """The columns of a part."""
        columns = zip(*rows, strict=True) if rows else iter([()] * len(self.result.columns))
        return {
            name: self._array(name, kind, values)
            for (name, kind), values in zip(self.result.columns.items(), columns, strict=True)
        }

    def keys(self, part: _Arrays) -> tuple[Array, Array]:
        """Times, and the ranks of the categories that order the rows of one time."""
        assert self.result.ordered_here_by is not None
        name = self.result.ordered_here_by
        return part[self.result.order[0]].view("int64"), _ranks([*self.codes[name]])[part[name]]

    def _array(self, name: str, kind: Kind, values: Sequence[Any]) -> Array:
        if kind in ("time", "day"):
            filled = [_NAT if value is None else value for value in values] if None in values else values
            return np.array(filled, dtype="int64").view("datetime64[us]" if kind == "time" else "datetime64[D]")
        if kind == "category":
            codes = self.codes[name]
            for value in set(values).difference(codes, (None,)):
                codes[value] = len(codes)
            return np.array([-1 if value is None else codes[value] for value in values], dtype="int32")
        if kind in ("integer", "string", "list"):
            return np.array(values, dtype="object")
        # None becomes NaN in floats.
        return np.array(values, dtype={"float": "float64", "count": "int64", "boolean": "bool"}[kind])


def _parts(source: Source, columns: _Columns, rows: int) -> Iterator[_Arrays]:
    """The columns of each part of at most so many rows; at least one part."""
    result = columns.result
    with source.connect() as connection:
        driver = _driver_connection(connection)
        # PostgreSQL has cursors in transactions only. SQLAlchemy's rows would take a third of the time.
        name = None if driver.autocommit else f"ticks_{uuid.uuid4().hex}"
        statement = result.statement_for(_EXPRESSIONS).as_string(driver)
        is_first = True
        with contextlib.closing(driver.cursor(name)) as cursor:
            while True:
                try:
                    if is_first:
                        cursor.execute(statement, dict(result.parameters))
                    part = cursor.fetchmany(rows)
                except psycopg2.Error as error:
                    # As SQLAlchemy raises those of the other statements.
                    raise sa.exc.DBAPIError.instance(
                        statement, None, error, psycopg2.Error, dialect=connection.dialect
                    ) from error
                if part or is_first:
                    yield columns.arrays(part)
                if not part:
                    return
                is_first = False


def _frame(columns: _Columns, part: _Arrays, tz: str) -> pd.DataFrame:
    import pandas as pd

    # As the installed pandas makes times: those of two resolutions do not join in merge_asof.
    unit = pd.date_range("2000-01-01", periods=1).unit
    kinds = columns.result.columns
    series: dict[str, Any] = {}
    for name, kind in kinds.items():
        values = part[name]
        if kind == "time":
            series[name] = pd.DatetimeIndex(values).as_unit(unit).tz_localize("UTC").tz_convert(tz)
        elif kind == "day":
            series[name] = pd.DatetimeIndex(values.astype("datetime64[s]")).as_unit(unit)
        elif kind == "category":
            categories = pd.Index([*columns.codes[name]], dtype="str")
            series[name] = pd.Categorical.from_codes(values, categories=categories)
        elif kind == "integer":
            series[name] = pd.array(values, dtype="Int64")
        elif kind in ("string", "list"):
            series[name] = pd.array(values, dtype="string")
        else:
            series[name] = values
    index, *others = kinds
    return pd.DataFrame({name: series[name] for name in others}, index=pd.Index(series[index], name=index), copy=False)


def _driver_connection(connection: sa.Connection) -> Any:
    """psycopg2's."""
    return connection.connection.driver_connection


def _arrow(source: Source, result: Result, tz: str, chunksize: int | None) -> Iterator[pa.Table]:
    arrow = required("pyarrow", "arrow")
    tables = arrow_tables(source, result, tz)
    if chunksize is None:
        yield arrow.concat_tables(tables)
        return
    yield from resized(tables, _form_of_tables(arrow), chunksize)


def _form_of_tables(arrow: Any) -> Form[pa.Table]:
    return Form(
        length=lambda table: table.num_rows,
        cut=lambda table, begin, end: table.slice(begin, end - begin),
        join=lambda tables: tables[0] if len(tables) == 1 else arrow.concat_tables(tables).combine_chunks(),
        take=lambda table, places: table.take(arrow.array(places)),
    )


def arrow_tables(source: Source, result: Result, tz: str) -> Iterator[pa.Table]:
    """The rows as tables of some megabytes, as they arrive; at least one."""
    tables = _tables(source, result, tz)
    if result.ordered_here_by is None:
        return tables
    arrow = required("pyarrow", "arrow")
    time, category = result.order[0], result.ordered_here_by

    def keys(table: pa.Table) -> tuple[Array, Array]:
        names = table.column(category).combine_chunks()
        times = table.column(time).cast(arrow.timestamp("us")).cast(arrow.int64())
        return times.to_numpy(), _ranks(names.dictionary.to_pylist())[names.indices.to_numpy()]

    return in_order(tables, _form_of_tables(arrow), keys)


def _tables(source: Source, result: Result, tz: str) -> Iterator[pa.Table]:
    driver = required("adbc_driver_postgresql.dbapi", "arrow")
    arrow = required("pyarrow", "arrow")
    with source.connect() as connection, _driver_connection(connection).cursor() as cursor:
        # ADBC has no parameters that are arrays: psycopg2 quotes them. It copies what is selected, so without an end.
        settings = sql_files.read("queries/server/session_settings.sql").rstrip().removesuffix(";")
        settings = cursor.mogrify(settings, {"local": False}).decode()
        statement = cursor.mogrify(result.statement_for(_EXPRESSIONS_OF_ARROW), dict(result.parameters)).decode()
    with driver.connect(source.url()) as connection, connection.cursor() as cursor:
        cursor.execute(settings)
        cursor.fetchall()
        cursor.execute(statement)
        reader = cursor.fetch_record_batch()
        is_empty = True
        for batch in _read_ahead(reader):
            is_empty = False
            yield _typed(arrow, arrow.Table.from_batches([batch]), result, tz)
        if is_empty:
            yield _typed(arrow, reader.schema.empty_table(), result, tz)


def _read_ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """The same, of which the next one is read while one is looked at."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _typed(arrow: Any, table: pa.Table, result: Result, tz: str) -> pa.Table:
    """The table with the types of Arrow that the columns are documented with."""
    types = {
        "time": arrow.timestamp("us", tz=tz),
        "day": arrow.date32(),
        "float": arrow.float64(),
        "count": arrow.int64(),
        "integer": arrow.int64(),
        "boolean": arrow.bool_(),
        "category": arrow.dictionary(arrow.int32(), arrow.string()),
        "string": arrow.string(),
        "list": arrow.string(),
    }
    columns = []
    for name, kind in result.columns.items():
        column = table.column(name)
        if kind == "category":
            column = _categories(arrow, column.cast(arrow.string()), result.categories.get(name))
        columns.append(column.cast(types[kind]))
    return arrow.table(columns, names=[*result.columns])


def _categories(arrow: Any, column: pa.ChunkedArray, known: Sequence[str] | None) -> pa.Array:
    """Texts as a dictionary: of those that are known before, unless there are others."""
    if known is not None:
        compute = required("pyarrow.compute", "arrow")
        texts = arrow.array(known, arrow.string())
        codes = compute.index_in(column, value_set=texts).combine_chunks()
        if codes.null_count == column.null_count:
            return arrow.DictionaryArray.from_arrays(codes, texts)
    return column.combine_chunks().dictionary_encode()
