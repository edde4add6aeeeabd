"""Each form of a customer's page says which account the page is of, so that it is never sent to another one."""

import re
from pathlib import Path

import pytest

from farebox.domain.pages import of_account
from farebox.web.pages.frame import OURS

FORM = re.compile(r"<form\b[^>]*method=\"post\".*?>", re.DOTALL)
ACTION = re.compile(r'action="(.*?)"(?: |>)')
SAYS = " | of_account(visitor.account.id) }}"
OF_A_PERSON = frozenset({
    None,  # of the page's own address: a mailed link's
    "/login", "/login/code", "/logout", "/signup", "/switch", "{{ '/reset' if purpose == 'reset' else '/login/link' }}",
    "{{ action }}",  # of a passkey, in ways.html
    "/settings/address", "/settings/password", "/settings/confirm", "/settings/confirm/mail", "/settings/export/person",
    "/settings/sessions/end", "/settings/sessions/end-others", "/settings/security/totp", "/settings/security/totp/on",
    "/settings/security/totp/off", "/settings/security/codes", "/settings/security/passkeys/rename",
    "/settings/security/passkeys/remove", "/settings/security/services/disconnect",
})  # fmt: skip
"""What somebody does as themselves, whichever account they work in. Who adds to it has thought of two tabs."""
TEMPLATES = sorted(OURS.glob("*.html"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_each_form_says_which_account_it_is_of_or_is_of_a_person(template: Path) -> None:
    for form in FORM.findall(template.read_text(encoding="utf-8")):
        found = ACTION.search(form)
        action = found[1] if found else None
        if action == "{{ action }}":
            assert template.name == "ways.html", form
        assert action in OF_A_PERSON or (action is not None and action.endswith(SAYS)), form


def test_the_forms_are_found() -> None:
    text = "".join(template.read_text(encoding="utf-8") for template in TEMPLATES)
    assert len(FORM.findall(text)) == text.count('method="post"') > 40
    assert text.count(SAYS) > 15


@pytest.mark.parametrize("template", sorted((OURS / "mail").glob("*.*")), ids=lambda path: path.name)
def test_a_mail_that_leads_to_a_page_of_an_account_says_of_which(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    led_to = re.findall(r"\{\{ url \}\}(/\w+|\{\{ .*? \}\})", text)
    ours = {"{{ '/plan' | of_account(account_id) }}", "{{ '/credit' | of_account(account_id) }}"}
    assert set(led_to) <= ours | {"/login", "/signup", "/reset"}
    assert bool(ours & set(led_to)) == template.stem.startswith(("limit", "payment_", "top_up_"))


def test_an_address_says_which_account_it_is_of() -> None:
    assert of_account("/plan", "acct_1") == "/plan?account=acct_1"
    assert of_account("/plan/paid?cs=x", "acct_1") == "/plan/paid?cs=x&account=acct_1"
    assert of_account("/plan", None) == "/plan"
