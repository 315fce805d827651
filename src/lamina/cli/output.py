"""Rows to a terminal: docker's table, one JSON object a line, or a Go template."""

import json
from collections.abc import Callable, Mapping, Sequence

from lamina.analyze.paths import printable
from lamina.cli.tables import table

Row = Mapping[str, object]
Column = tuple[str, str]


def show(rows: Sequence[Row], columns: Sequence[Column], format_: str | None) -> str:
    """`rows` as a table of `columns` (field and header), or as `--format` asks."""
    if format_ in (None, "", "table"):
        cells = [[printable(str(row[field])) for field, _ in columns] for row in rows]
        return table([header for _, header in columns], cells)
    if format_ in ("json", "{{json .}}"):
        return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    from lamina.cli.template import compile_template

    assert format_ is not None
    if format_.startswith("table "):
        return _templated_table(rows, columns, format_.removeprefix("table "), compile_template)
    template = compile_template(format_)
    return "".join(template(_with_label(row)) + "\n" for row in rows)


def _with_label(row: Row) -> Row:
    """docker's `.Label "key"`, where a row tells its labels as one text."""
    if "Labels" not in row:
        return row
    pairs = (pair.partition("=") for pair in str(row["Labels"]).split(","))
    labels = {key: value for key, _, value in pairs}
    return {**row, "Label": lambda key: labels.get(key, "")}


def _templated_table(
    rows: Sequence[Row],
    columns: Sequence[Column],
    text: str,
    compiler: Callable[[str], Callable[[object], str]],
) -> str:
    text = text.replace("\\t", "\t")
    template = compiler(text)
    headers = dict(columns)
    names = {key: headers.get(key, key.upper()) for row in rows for key in row} or headers
    header = template({**names, "Label": lambda key: key})
    lines = [template(_with_label(row)).split("\t") for row in rows]
    return table(header.split("\t"), lines)


def document(value: object, format_: str | None) -> str:
    """One document: indented JSON, or as a Go template makes it."""
    if format_ in (None, ""):
        return json.dumps(value, indent=4, ensure_ascii=False) + "\n"
    if format_ == "json":
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
    from lamina.cli.template import compile_template

    assert format_ is not None
    return compile_template(format_)(value) + "\n"
