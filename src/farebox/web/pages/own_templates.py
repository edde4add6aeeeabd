"""The founder's own templates, compiled before anything is served: of a broken one comes no page, and no mail."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from jinja2 import Environment, TemplateNotFound, TemplateSyntaxError, nodes

from farebox.web import letters
from farebox.web.pages import frame

MAIL: Final = "mail/"
REFERS: Final = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)


def mistakes(folder: Path) -> list[str]:
    """What is wrong with the templates that replace ours and with those they refer to, each in a sentence."""
    pages, mails = frame.environment(folder), letters.environment(folder)
    pages.filters["terms"] = str  # the frame of a product has it
    waiting = [name for name in _names(folder) if (frame.OURS / name).is_file()]
    found: list[str] = []
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        reading = _Reading(mails if name.startswith(MAIL) else pages, folder / "templates", name)
        found += reading.mistakes()
        waiting += reading.refers_to
    return sorted(found)


def strangers(folder: Path) -> list[str]:
    """The templates that have no name of ours, and that none of the others may refer to: no page shows them."""
    names = _names(folder)
    texts = []
    for name in names:
        with suppress(OSError):
            texts.append((folder / "templates" / name).read_bytes())
    return [
        name for name in names if not (frame.OURS / name).is_file() and not any(name.encode() in text for text in texts)
    ]


def _names(folder: Path) -> list[str]:
    root = folder / "templates"
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("[!.]*") if path.is_file())


class _Reading:
    """One template of the founder's, compiled, and what it refers to."""

    def __init__(self, environment: Environment, root: Path, name: str) -> None:
        self._environment = environment
        self._root = root
        self._name = name
        self.refers_to: list[str] = []
        """Others of the founder's."""

    def mistakes(self) -> Iterator[str]:
        path = self._root / self._name
        try:
            text = path.read_text(encoding="utf-8")
            tree = self._environment.parse(text, self._name, str(path))
            self._environment.compile(tree, self._name, str(path))
        except UnicodeDecodeError:
            yield f"{path} is not UTF-8 text; save it again as UTF-8."
        except OSError as error:
            yield f"{path} cannot be read ({error.strerror})."
        except TemplateSyntaxError as error:
            yield f"{path}, line {error.lineno}: {(error.message or 'it cannot be read').rstrip('.')}."
        except RecursionError:
            yield f"{path} is nested too deeply to be read."
        else:
            for node in tree.find_all(REFERS):
                yield from self._reference(node)

    def _reference(self, node: nodes.Node) -> Iterator[str]:
        named = getattr(node, "template", None)
        if not isinstance(named, nodes.Const) or not isinstance(named.value, str):
            return  # known only when it is shown
        place = f"{self._root / self._name}, line {node.lineno}"
        try:
            file = self._file(named.value)
        except TemplateNotFound:
            if not getattr(node, "ignore_missing", False):
                yield f"{place}: there is no template {named.value!r}."
            return
        if file is None:
            return
        if file == self._name and isinstance(node, nodes.Extends):
            remedy = "" if file.startswith(MAIL) else f'; for ours, write {{% extends "farebox/{file}" %}}'
            yield f"{place}: the template extends itself{remedy}."
            return
        self.refers_to.append(file)

    def _file(self, name: str) -> str | None:
        """The name of the founder's template that is meant; None where it is ours.

        Raises:
            TemplateNotFound: there is none.
        """
        assert self._environment.loader is not None, "both environments have one"
        try:
            _, filename, _ = self._environment.loader.get_source(self._environment, name)
        except TemplateNotFound:  # itself an OSError
            raise
        except (UnicodeDecodeError, OSError):
            return name  # it is there; its own reading tells what is wrong with it
        path = Path(filename or "")
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else None
