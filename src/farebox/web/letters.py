"""Mails as people read them: templates in text and HTML, rendered when they are sent. Loaded with the first mail."""

import json
from pathlib import Path
from typing import Final

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, select_autoescape

from farebox.domain.pages import of_account
from farebox.domain.people import link_token
from farebox.domain.product import Product
from farebox.ports.people import DueMail, Letter

OURS: Final = Path(__file__).parent / "templates"


def environment(folder: Path | None) -> Environment:
    """The templates of letters: the founder's own from `templates/` in the folder, else ours of the same name."""
    theirs = [FileSystemLoader(folder / "templates")] if folder is not None else []
    found = Environment(
        loader=ChoiceLoader([*theirs, FileSystemLoader(OURS)]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters.update(of_account=of_account)
    return found


class Letters:
    """The letters of one product. A founder's own `templates/mail/NAME.txt` and `.html` come before ours."""

    def __init__(self, product: Product, url: str, folder: Path | None, secret: bytes) -> None:
        self._templates = environment(folder)
        self._templates.globals.update(product=product, url=url)
        self._url = url
        self._secret = secret

    def render(self, due: DueMail) -> Letter:
        """The letter; its subject is the first line of the text."""
        mail = due.mail
        link = f"{self._url}/link/{link_token(self._secret, mail.link_id)}" if mail.link_id is not None else ""
        about = {"email": mail.email, "account_id": mail.account_id, "link": link, "is_known": due.is_known}
        values = json.loads(mail.data) | about
        text = self._templates.get_template(f"mail/{mail.template}.txt").render(values)
        subject, _, body = text.partition("\n")
        subject = " ".join(subject.split())
        html = self._templates.get_template(f"mail/{mail.template}.html").render(values, subject=subject)
        return Letter(mail.id, mail.email, subject, body.lstrip("\n"), html)
