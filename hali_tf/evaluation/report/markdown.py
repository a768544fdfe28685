"""Tables of reports."""


def table(head, rows):
    """A Markdown table.

    Args:
      head: names of the columns; "" above row labels.
      rows: lists of cells: text, an integer, a float (written with four digits), or None (a dash).
    """
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *([_cell(v) for v in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value):
    if value is None:
        return "–"
    return f"{value:#.4g}" if isinstance(value, float) else str(value)
