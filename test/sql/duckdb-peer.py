"""Runs queries in Python's DuckDB and compares their rows with Millrace's.

Each line of stdin is a case: {"messages": […], "sql": …, "isByRow": …, "isOrdered": …, "rows": […], "rejected": […]}.
Messages and rows are JSON texts. Each line of stdout is a difference. A field `x` of the messages is the column `x`, and
its JSON, as it is spelled, the column `x__json`. A member of it is the columns `x__m__json` and `x__m__text`.
"""

import json
import math
import struct
import sys
from datetime import date, datetime
from decimal import Decimal

import duckdb


class Number(str):
    """A number as it is spelled."""


def load(text):
    return json.loads(text, parse_float=Number, parse_int=Number)


def spell(value):
    """JSON whose numbers keep their spelling."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(spell, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{spell(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


def is_integer(number):
    return number.lstrip("-").isdigit()


def type_of(values):
    """The narrowest type that holds all values exactly, as the page on SQL says."""
    values = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in values):
        return "BOOLEAN"
    if all(isinstance(value, Number) for value in values):
        integers = [Decimal(value) for value in values if is_integer(value)]
        if len(integers) < len(values):
            return "DOUBLE" if all(abs(value) < 10**15 for value in integers) else "JSON"
        if all(-(2**63) <= value < 2**63 for value in integers):
            return "BIGINT"
        return "HUGEINT" if all(-(2**127) <= value < 2**127 for value in integers) else "JSON"
    if any(isinstance(value, Number) for value in values):
        return "JSON"
    if all(isinstance(value, str) for value in values):
        return "VARCHAR"
    if all(isinstance(value, list) for value in values):
        return type_of([item for value in values for item in value]) + "[]"
    if all(isinstance(value, dict) for value in values):
        names = dict.fromkeys(name for value in values for name in value)
        members = [f'"{name}" {type_of([value.get(name) for value in values])}' for name in names]
        return f"STRUCT({', '.join(members)})"
    return "JSON"


def typed(value, of):
    """The value as DuckDB takes it for a column of a type."""
    if value is None:
        return None
    if of.id == "list":
        return [typed(item, of.children[0][1]) for item in value]
    if of.id == "struct":
        return {name: typed(value.get(name), each) for name, each in of.children}
    if str(of) == "JSON":
        return spell(value)
    if of.id == "double":
        return float(value)
    return int(value) if isinstance(value, Number) else value


def is_same(found, expected, of):
    """Whether JSON of Millrace is the value of a type that DuckDB gave to Python."""
    if str(of) == "JSON" and expected is not None:
        return spell(found) == spell(load(expected))
    if expected is None or isinstance(expected, float) and not math.isfinite(expected):
        return found is None
    if isinstance(expected, bool):
        return found is expected
    if isinstance(expected, (int, Decimal)):
        # The digits, also those of a fraction of zeros, and no exponent.
        return isinstance(found, Number) and found == format(expected, "f" if isinstance(expected, Decimal) else "d")
    if isinstance(expected, float):
        if not isinstance(found, Number) or is_integer(found):
            return False
        if of.id == "float":
            return struct.pack("f", float(found)) == struct.pack("f", expected)
        return struct.pack("d", float(found)) == struct.pack("d", expected)
    if isinstance(expected, list):
        item = of.children[0][1]
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(is_same(*pair, item) for pair in zip(found, expected))
        )
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and list(found) == list(expected)
            and all(is_same(found[name], expected[name], each) for name, each in of.children)
        )
    if isinstance(expected, datetime):
        return isinstance(found, str) and "T" in found and datetime.fromisoformat(found) == expected
    if isinstance(expected, date):
        return found == expected.isoformat()
    return isinstance(found, str) and not isinstance(found, Number) and found == expected


def fill(connection, messages):
    columns = {}
    for name in dict.fromkeys(name for message in messages for name in message):
        values = [message.get(name) for message in messages]
        column = type_of(values)
        spelled = [None if value is None else spell(value) for value in values]
        of = duckdb.sqltype(column)
        columns[name] = (column, spelled if column == "JSON" else [typed(value, of) for value in values])
        columns[f"{name}__json"] = ("JSON", spelled)
        if of.id != "struct":
            continue
        # DuckDB's own arrows would spell numbers anew.
        for member in dict.fromkeys(member for value in values if value for member in value):
            parts = [None if value is None else value.get(member) for value in values]
            spelled = [None if part is None else spell(part) for part in parts]
            columns[f"{name}__{member}__json"] = ("JSON", spelled)
            texts = [part if isinstance(part, str) else other for part, other in zip(parts, spelled)]
            columns[f"{name}__{member}__text"] = ("VARCHAR", texts)
    declared = ", ".join(f'"{name}" {column}' for name, (column, _) in columns.items())
    connection.execute(f"CREATE OR REPLACE TABLE every ({declared})")
    places = ", ".join("?" for _ in columns)
    rows = zip(*(values for _, values in columns.values()))
    connection.executemany(f"INSERT INTO every VALUES ({places})", list(map(list, rows)))


def ask(connection, sql):
    relation = connection.sql(sql)
    return relation.columns, relation.types, relation.fetchall()


def difference(connection, case):
    messages = [load(text) for text in case["messages"]]
    fill(connection, messages)
    connection.execute("CREATE OR REPLACE VIEW flow AS SELECT * FROM every")
    failing = []
    try:
        names, types, rows = ask(connection, case["sql"])
    except duckdb.Error as error:
        is_wrong = isinstance(error, (duckdb.BinderException, duckdb.ParserException))
        if is_wrong or not case["isByRow"]:
            least = len(messages) if is_wrong else 1
            return None if len(case["rejected"]) >= least else f"the query fails: {error}"
        rows, names, types = [], [], []
        for index, message in enumerate(messages):
            connection.execute(f"CREATE OR REPLACE VIEW flow AS SELECT * FROM every WHERE id = {message['id']}")
            try:
                names, types, more = ask(connection, case["sql"])
                rows += more
            except duckdb.Error:
                failing.append(index)
    if failing != case["rejected"]:
        return f"rejected {case['rejected']} instead of {failing}"
    found = [load(row) for row in case["rows"]]
    if len(found) != len(rows):
        return f"{len(found)} rows instead of {len(rows)}: {rows}"
    if any(list(row) != names for row in found):
        return f"other columns than {names}"
    left = list(found)
    for row in rows:
        same = (at for at, each in enumerate(left) if all(map(is_same, each.values(), row, types)))
        at = next(same, None)
        if at is None or (case["isOrdered"] and at > 0):
            return f"no row in this place is {row} of {[str(each) for each in types]}"
        del left[at]
    return None


connection = duckdb.connect(config={"threads": 1})
for line in sys.stdin:
    case = json.loads(line)
    told = difference(connection, case)
    if told is not None:
        print(json.dumps({"told": told, **case}), flush=True)
