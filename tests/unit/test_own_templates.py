"""A founder's template that cannot be shown is told with its file and line, before anybody asks for its page."""

from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from farebox.cli.own_templates import check_templates, look_at_templates, warn_of_templates
from farebox.domain.errors import FounderError
from farebox.web.pages.own_templates import dropped_blocks, mistakes

OUR_TEMPLATES = Path(__file__).parents[2] / "src/farebox/web/templates"
MACROS = {
    "macros.html": [
        "field(form, name, label, type, hint, required)",
        "text_area(form, name, label, hint, required)",
        "choice(form, name, label, options, hint)",
        "checkbox(form, name, label, hint, value)",
        "form_error(form)",
        "flash(text, kind)",
        "no_password(is_not_kept)",
        "badge(text, kind)",
        "moment(iso, only_day, seconds)",
        "empty(title, text, href, label)",
        "code(text, label, wraps)",
        "code_tabs(name, legend, blocks)",
        "tiles(tiles)",
        "gauge(name, label, used, most, words)",
        "bar_chart(name, title, rows, what)",
        "pager(newer, older)",
        "plan_card(plan, href, label)",
        "pack_card(pack)",
        "tick()",
    ],
    "use.html": [
        "call_table(calls)",
        "part(value, whole)",
        "day_chart(name, title, days, attribute, what, today)",
        "sums_cells(sums, whole)",
        "sums_head(what)",
    ],
    "ways.html": ["passkey_form(action, options, label, next, kind)", "service_links(next)"],
    "invoice_lines.html": ["lines_table(lines, cents, currency, total, total_label, at, opened)"],
    "playground_controls.html": [
        "control_of(control, typed, wrong, detail)",
        "controls_of(controls, typed, wrong, detail)",
    ],
}
ITSELF = "the template extends itself"
OURS = '{% extends "farebox/pricing.html" %}'


def write(folder: Path, name: str, text: str | bytes) -> None:
    path = folder / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("pricing.html", "\n{% if %}", ", line 2: Expected an expression, got 'end of statement block'."),
        ("pricing.html", "{{ x", ", line 1: unexpected end of template, expected 'end of print statement'."),
        ("pricing.html", "\n\n{{ plans | loud }}", ", line 3: No filter named 'loud'."),
        ("pricing.html", '{% extends "pricing.html" %}', ", line 1: " + ITSELF + "; for ours, write " + OURS + "."),
        ("pricing.html", '{% include "gone.html" %}', ", line 1: there is no template 'gone.html'."),
        ("pricing.html", "Zürich".encode("latin-1"), " is not UTF-8 text; save it again as UTF-8."),
        ("terms.md", "{% endif %}", ", line 1: Encountered unknown tag 'endif'."),
        ("mail/confirm.txt", "Hello\n{% if %}", ", line 2: Expected an expression, got 'end of statement block'."),
        ("mail/confirm.txt", "{{ plans | terms }}", ", line 1: No filter named 'terms'."),
        ("mail/frame.html", '{% extends "mail/frame.html" %}', ", line 1: the template extends itself."),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_shown_is_told_with_its_line(
    tmp_path: Path, name: str, text: str | bytes, told: str
) -> None:
    write(tmp_path, name, text)
    assert mistakes(tmp_path) == [f"{tmp_path}/templates/{name}{told}"]
    with pytest.raises(FounderError, match="templates/"):
        check_templates(tmp_path)
    [found] = look_at_templates(tmp_path)
    assert found.level == "FIX"
    assert str(tmp_path / "templates" / name) in found.sentence


def test_what_a_founders_template_includes_is_read_and_what_it_may_lack_is_not_missed(tmp_path: Path) -> None:
    may_lack = '{% include "gone.html" ignore missing %}{% include which %}{{ plans | map("terms") }}'
    block = f'{{% block main %}}{{% include "part.html" %}}{may_lack}{{% endblock %}}'
    write(tmp_path, "landing.html", '{% extends "farebox/landing.html" %}' + block)
    write(tmp_path, "part.html", "fine")
    assert list(look_at_templates(tmp_path)) == []
    write(tmp_path, "part.html", "{% if %}")
    [told] = mistakes(tmp_path)
    assert told.startswith(f"{tmp_path}/templates/part.html, line 1: ")


def test_a_template_that_no_page_of_ours_shows_is_the_founders_own_business_and_only_noted(tmp_path: Path) -> None:
    write(tmp_path, "Pricing.html", "{{ mine | with_a_filter_of_my_own }}")
    check_templates(tmp_path)
    [found] = look_at_templates(tmp_path)
    assert (found.level, found.sentence) == (
        "note", "templates: templates/Pricing.html has the name of none of ours, so Farebox shows it nowhere"
    )  # fmt: skip


def test_a_block_that_the_template_above_does_not_have_is_told_and_the_start_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = "{% block title %}x{% endblock %}{% block main %}{% block mine %}y{% endblock %}{% endblock %}"
    write(tmp_path, "pricing.html", OURS + inner + "{% if 1 %}\n{% block content %}z{% endblock %}{% endif %}")
    write(tmp_path, "landing.html", "{% extends which %}{% block content %}{% endblock %}")
    write(tmp_path, "terms.md", "{% extends 'gone.md' %}{% block content %}{% endblock %}")
    write(tmp_path, "mail/invite.txt", '{% extends "mail/frame.txt" %}{% block main %}x{% endblock %}')
    write(tmp_path, "mail/invite.html", '{% extends "mail/frame.html" %}{% block content %}x{% endblock %}')
    by_name = "{% block main %}{{ self.mine() }}{% endblock %}{% block mine %}x{% endblock %}"
    write(tmp_path, "keys.html", '{% extends "farebox/keys.html" %}' + by_name)
    warn_of_templates(tmp_path)
    mail, pricing = capsys.readouterr().err.splitlines()
    assert pricing == (
        f"Warning: {tmp_path}/templates/pricing.html, line 2: the template that it extends has no block 'content', so "
        "nothing of it is shown; it has body, description, main, meta, scripts, sheet, title."
    )
    assert mail.endswith("no block 'content', so nothing of it is shown; it has after, button, main.")
    assert [str(found) for found in look_at_templates(tmp_path) if found.level == "note"] == [
        warning.replace("Warning:", "note templates:").rstrip(".") for warning in (mail, pricing)
    ]


def test_every_template_of_ours_could_be_a_founders(tmp_path: Path) -> None:
    (tmp_path / "templates").symlink_to(OUR_TEMPLATES)
    assert mistakes(tmp_path) == dropped_blocks(tmp_path) == []
    check_templates(None)
    warn_of_templates(None)


def test_the_macros_that_a_founder_may_have_a_copy_of_stay_as_they_are() -> None:
    """A page of ours that handed one more than it took before, or asked for a new one, would be a 500 at theirs."""
    assert {name: macros_of(name) for name in MACROS} == MACROS


def macros_of(name: str) -> list[str]:
    tree = Environment(autoescape=True).parse((OUR_TEMPLATES / name).read_text(encoding="utf-8"))
    macros = [macro for macro in tree.find_all(nodes.Macro) if not macro.name.startswith("_")]
    return [f"{macro.name}({', '.join(argument.name for argument in macro.args)})" for macro in macros]
