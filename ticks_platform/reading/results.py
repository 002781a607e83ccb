"""Rows of a statement as a frame of pandas, a table of Arrow, or a frame of Polars."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import sqlalchemy as sa
from psycopg2 import sql

from ticks_platform.reading.arguments import ReadingError, time_zone
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


def read(source: Source, result: Result, *, to: To, tz: str, chunksize: int | None) -> Any:
    """The rows, in one frame or in frames of `chunksize` rows.

    Raises ReadingError for a form that is none or whose packages are missing, and DatabaseUnavailableError.
    """
    time_zone(tz)
    if chunksize is not None and not (isinstance(chunksize, int) and chunksize >= 1):
        raise ReadingError(f"chunksize={chunksize!r} is no number of rows: 1 or more")
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
    if chunksize:
        frames = (_frame(columns, part, tz) for part in _parts(source, columns, chunksize))
        # The embedded database has one session for all: they must not wait for whoever reads slowly.
        return frames if source.streams else iter([*frames])
    parts = [*_parts(source, columns, PART)]
    whole = {name: np.concatenate([part.pop(name) for part in parts]) for name in result.columns}
    return _frame(columns, whole, tz)


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

    def arrays(self, rows: Sequence[Sequence[Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """The columns of a part."""
        columns = zip(*rows, strict=True) if rows else iter([()] * len(self.result.columns))
        return {
            name: self._array(name, kind, values)
            for (name, kind), values in zip(self.result.columns.items(), columns, strict=True)
        }

    def _array(self, name: str, kind: Kind, values: Sequence[Any]) -> np.ndarray[Any, Any]:
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


def _parts(source: Source, columns: _Columns, rows: int) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """The columns of each part of at most so many rows; at least one part."""
    result = columns.result
    with source.connect() as connection:
        statement = result.statement_for(_EXPRESSIONS).as_string(_driver_connection(connection))
        # Of this statement, since options of a connection stay, and it may be the caller's. PostgreSQL has cursors in
        # transactions only.
        options = {
            "stream_results": not _driver_connection(connection).autocommit,
            "max_row_buffer": rows,
        }
        found = connection.exec_driver_sql(statement, dict(result.parameters), execution_options=options)
        is_empty = True
        for part in found.partitions(rows):
            is_empty = False
            yield columns.arrays(part)
        if is_empty:
            yield columns.arrays(())


def _frame(columns: _Columns, part: Mapping[str, np.ndarray[Any, Any]], tz: str) -> pd.DataFrame:
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
    waiting, has_yielded = next(tables), False
    for table in itertools.chain(tables, (None,)):
        while waiting.num_rows >= chunksize or (table is None and (waiting.num_rows or not has_yielded)):
            has_yielded = True
            yield waiting.slice(0, chunksize)
            waiting = waiting.slice(chunksize)
        if table is not None:
            waiting = arrow.concat_tables([waiting, table])


def arrow_tables(source: Source, result: Result, tz: str) -> Iterator[pa.Table]:
    """The rows as tables of some megabytes, as they arrive; at least one."""
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
        for batch in reader:
            is_empty = False
            yield _typed(arrow, arrow.Table.from_batches([batch]), result, tz)
        if is_empty:
            yield _typed(arrow, reader.schema.empty_table(), result, tz)


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
            column = column.cast(arrow.string()).dictionary_encode()
        columns.append(column.cast(types[kind]))
    return arrow.table(columns, names=[*result.columns])
