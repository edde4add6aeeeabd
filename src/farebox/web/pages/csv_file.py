"""A CSV file that is sent as it is read, however long it gets."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from starlette.responses import StreamingResponse

from farebox.domain.spreadsheet import cell

Row = Sequence[object]


def csv_file(name: str, head: Row, pages: Iterable[Iterable[Row]]) -> StreamingResponse:
    """The file; each page of rows is asked for when the one before it has been sent."""
    response = StreamingResponse(_lines(head, pages), media_type="text/csv; charset=utf-8")
    response.headers["content-disposition"] = f'attachment; filename="{name}"'
    return response


def _lines(head: Row, pages: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    yield _written([head])
    for page in pages:
        yield _written(page)


def _written(rows: Iterable[Row]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([cell(value) for value in row] for row in rows)
    return text.getvalue().encode()
