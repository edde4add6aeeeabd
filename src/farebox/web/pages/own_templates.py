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
    pages, mails, root = frame.environment(folder), letters.environment(folder), folder / "templates"
    pages.filters["terms"] = str  # the frame of a product has it
    names = _names(folder)
    reading = [name for name in names if (frame.OURS / name).is_file()]
    found: list[str] = []
    for name in reading:  # which grows
        refers = _read(mails if name.startswith(MAIL) else pages, root / name, name, found)
        reading += sorted({other for other in refers if other in names} - {*reading})
    return sorted(found)


def _read(environment: Environment, path: Path, name: str, found: list[str]) -> Iterator[str]:
    """The names of the templates that one refers to; what is wrong with it is added to what was found."""
    try:
        tree = environment.parse(path.read_text(encoding="utf-8"), name, str(path))
        environment.compile(tree, name, str(path))
    except UnicodeDecodeError:
        found.append(f"{path} is not UTF-8 text; save it again as UTF-8.")
    except OSError as error:
        found.append(f"{path} cannot be read ({error.strerror}).")
    except TemplateSyntaxError as error:
        found.append(f"{path}, line {error.lineno}: {(error.message or 'it cannot be read').rstrip('.')}.")
    except RecursionError:
        found.append(f"{path} is nested too deeply to be read.")
    else:
        for node in tree.find_all(REFERS):
            named = getattr(node, "template", None)
            if not isinstance(named, nodes.Const) or not isinstance(named.value, str):
                continue  # known only when it is shown
            if named.value == name and isinstance(node, nodes.Extends):
                remedy = "" if name.startswith(MAIL) else f'; for ours, write {{% extends "farebox/{name}" %}}'
                found.append(f"{path}, line {node.lineno}: the template extends itself{remedy}.")
            elif not getattr(node, "ignore_missing", False) and not _is_there(environment, named.value):
                found.append(f"{path}, line {node.lineno}: there is no template {named.value!r}.")
            yield named.value


def _is_there(environment: Environment, name: str) -> bool:
    assert environment.loader is not None, "both environments have one"
    try:
        environment.loader.get_source(environment, name)
    except TemplateNotFound:
        return False
    except (UnicodeDecodeError, OSError):  # its own reading tells that
        return True
    return True


def dropped_blocks(folder: Path) -> list[str]:
    """Blocks that no template above has, so that nothing of them is shown, each in a sentence without a full stop."""
    pages, mails, root = frame.environment(folder), letters.environment(folder), folder / "templates"
    found = []
    for name in _names(folder):
        environment = mails if name.startswith(MAIL) else pages
        tree = _parsed(environment, name)
        above = _blocks_above(environment, tree, {name}) if tree is not None else None
        if tree is None or above is None:
            continue
        for block in _outer_blocks(tree):
            if block.name not in above | _shown_by_name(tree):
                wrong = f"{root / name}, line {block.lineno}: the template that it extends has no block {block.name!r}"
                found.append(f"{wrong}, so nothing of it is shown; it has {', '.join(sorted(above)) or 'none'}")
    return found


def _parsed(environment: Environment, name: str) -> nodes.Template | None:
    """A template that can be read; what is wrong with any other is told among the mistakes."""
    assert environment.loader is not None, "both environments have one"
    try:
        return environment.parse(environment.loader.get_source(environment, name)[0], name)
    except (TemplateNotFound, TemplateSyntaxError, UnicodeDecodeError, OSError, RecursionError):
        return None


def _blocks_above(environment: Environment, tree: nodes.Template, seen: set[str]) -> set[str] | None:
    """The blocks that templates above have, or show by name; None where there are none, or not all are known."""
    parents = [node.template for node in tree.find_all(nodes.Extends)]
    names: set[str] = set()
    for parent in parents:
        name = parent.value if isinstance(parent, nodes.Const) else None
        above = _parsed(environment, name) if isinstance(name, str) and name not in seen else None
        if above is None:
            return None
        names |= {block.name for block in above.find_all(nodes.Block)} | _shown_by_name(above)
        if next(above.find_all(nodes.Extends), None) is not None:
            further = _blocks_above(environment, above, {*seen, str(name)})
            if further is None:
                return None
            names |= further
    return names if parents else None


def _shown_by_name(tree: nodes.Template) -> set[str]:
    """The blocks that a template shows as `{{ self.NAME() }}`, wherever they stand."""
    found = tree.find_all(nodes.Getattr)
    return {node.attr for node in found if isinstance(node.node, nodes.Name) and node.node.name == "self"}


def _outer_blocks(node: nodes.Node) -> Iterator[nodes.Block]:
    """The blocks that stand in no other: one inside another is shown where it stands."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Block):
            yield child
        else:
            yield from _outer_blocks(child)


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
