"""Tables as CSV text, numbers in full."""

import csv
import io


def as_csv(head, rows):
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(head)
    table.writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def cell(value):
    """A text that a spreadsheet would run as a formula is made plain text; a number stays one."""
    runs = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if runs else value
