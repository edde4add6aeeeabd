"""All that is kept of an account, or of a person, as one file that is sent while it is read."""

import json
import zipfile
from collections.abc import Iterable, Iterator
from typing import Final

from farebox.account.desk import Desk, take
from farebox.domain.people import Client, exports_by
from farebox.domain.period import iso
from farebox.ports.people import Visit
from farebox.ports.team import Part

READ_ME: Final = """\
{what}, as {product} had it on {day}.

Each line of a file is a JSON object. Times are UTC. Money is in nanodollars: 1,000,000,000 of them are a US dollar.
Prompts and answers are not kept, so they are not in here; nor are keys and passwords, only what tells them apart.
The service went on while this was collected, so what is newest may be in some of the files and not in others.

{files}
"""


def export_account(desk: Desk, here: Visit, client: Client) -> Iterator[bytes]:
    """The account's export, piece by piece.

    Raises:
        TooOften: they asked for it too often.
    """
    return _export(desk, here, client, "account", "The account " + here.account.email)


def export_person(desk: Desk, here: Visit, client: Client) -> Iterator[bytes]:
    """The export of all that is kept of a person, piece by piece.

    Raises:
        TooOften: they asked for it too often.
    """
    return _export(desk, here, client, "person", "The person " + here.email)


def _export(desk: Desk, here: Visit, client: Client, of: str, what: str) -> Iterator[bytes]:
    archive = desk.upkeep.archive
    take(desk, [exports_by(here.person.id)], "Too many exports.")
    archive.note(here, f"exported_{of}", client)
    parts = archive.of_account(here.account.id) if of == "account" else archive.of_person(here.person.id)
    day = iso(desk.people.now_us())[:10]
    files = "\n".join(f"{part.name}.jsonl" for part in parts)
    return zipped(READ_ME.format(what=what, product=desk.product.name, day=day, files=files), parts)


def zipped(read_me: str, parts: Iterable[Part]) -> Iterator[bytes]:
    """A ZIP of a text and the parts, of which no more than a page is in memory at once."""
    out = _Out()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]  # it needs no more
        archive.writestr("README.txt", read_me)
        yield out.taken()
        for part in parts:
            with archive.open(f"{part.name}.jsonl", "w", force_zip64=True) as file:
                for page in part.pages():
                    file.write("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in page).encode())
                    yield out.taken()
    yield out.taken()


class _Out:
    """A file without seek, whose bytes are taken as they come."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._written.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: no file is behind it."""

    def taken(self) -> bytes:
        written, self._written = b"".join(self._written), []
        return written
