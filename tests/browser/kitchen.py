"""A page of all that customers' pages are built of, in their frame: it is looked at before they are."""

from pathlib import Path
from typing import Final

APP: Final = """
from types import SimpleNamespace

from fastapi import Request, Response

from farebox import Farebox
from farebox.web.pages.forms import FormState
from farebox.web.pages.frame import Frame

app = Farebox("Kitchen")
form = FormState(
    {"email": "ada@example", "plan": "pro", "note": "Two\\nlines", "agree": "yes"},
    {"email": "This is no address. Write it as name@example.com.", "": "The form could not be sent."},
)
own = SimpleNamespace(id="acct_1", email="ada.lovelace.of.the.analytical.engine@example.com")
other = SimpleNamespace(id="acct_2", email="charles@example.com")
visitor = SimpleNamespace(email=own.email, account=own, role="owner", others=(other,))
days = [(f"2026-11-{day:02}", (day * 37) % 211) for day in range(1, 31)]


@app.get("/kitchen")
def kitchen(request: Request) -> Response:
    frame = Frame(app._served().site(), {})
    template = request.query_params.get("template", "kitchen.html")
    return frame.page(request, template, form=form, visitor=visitor, days=days)
"""
TEMPLATE: Final = """\
{% extends "app.html" %}
{% from "macros.html" import badge, bar_chart, checkbox, choice, code, empty, field, flash, form_error, gauge, moment,
  pager, text_area, tiles %}
{% block title %}Kitchen{% endblock %}
{% block main %}
<header class="row apart"><h1>Overview</h1><a class="button" href="/keys">Create a key</a></header>
<div class="stack">
  {{ flash("The key was created.", "good") }}
  {{ flash("Your plan ends in three days.", "warn") }}
  {{ flash("The card was refused.", "bad") }}
  {{ flash("There is a new version of the terms.") }}
  {{ tiles([("Calls left", "4,120", "of 5,000"), ("Resets", moment("2026-12-01T00:00:00Z", only_day=true), ""),
            ("Spent", "$12.40", "beyond the plan"), ("Keys", "3", "")]) }}
  <section class="card stack" aria-labelledby="limits">
    <h2 id="limits">Limits</h2>
    {{ gauge("calls", "Calls", 880, 5000, "880 of 5,000") }}
    {{ gauge("tokens", "Tokens", 850, 1000, "850 of 1,000") }}
    {{ gauge("money", "Spend cap", 99, 100, "$99 of $100") }}
  </section>
  <section class="card" aria-label="Use">{{ bar_chart("use", "Calls a day", days, "call") }}</section>
  <section class="card" aria-label="No use">{{ bar_chart("none", "Tokens a day", [], "token") }}</section>
  <h2>Last calls</h2>
  <div class="scroll"><table class="cards">
    <thead><tr><th scope="col">When</th><th scope="col">Endpoint</th><th scope="col">State</th>
      <th scope="col" class="number">Tokens</th><th scope="col"><span class="hidden">What to do</span></th></tr></thead>
    <tbody>
      {% for state, kind in [("posted", "good"), ("held", ""), ("voided", "warn"), ("expired", "bad")] %}
      <tr><th scope="row">{{ moment("2026-11-24T10:20:30Z") }}</th>
        <td data-label="Endpoint"><code>/v1/tagline</code></td>
        <td data-label="State">{{ badge(state, kind) }}</td><td data-label="Tokens" class="number">1,234</td>
        <td class="actions"><a class="button quiet little" href="/calls/x">Receipt</a></td></tr>
      {% endfor %}
    </tbody>
  </table></div>
  {{ pager(newer="/calls?after=x", older="/calls?before=y") }}
  {{ empty("No keys yet", "A key is what your program sends with each call. Make one, and copy the line that is shown.",
           "/keys", "Create a key") }}
  {{ code("curl https://api.example.com/v1/tagline -H 'X-API-Key: kitchen_live_abcdefghijklmnopqrstuvwxyz'",
          "Your first call") }}
  <form class="card stack" method="post" action="/kitchen">
    <h2>A form</h2>
    {{ form_error(form) }}
    {{ field(form, "email", "E-mail", type="email", hint="Where we write to.", autocomplete="email") }}
    {{ field(form, "password", "Password", type="password", autocomplete="new-password", minlength=8) }}
    {{ field(form, "cap", "Spend cap", required=false, inputmode="decimal") }}
    {{ choice(form, "plan", "Plan", [("free", "Free"), ("pro", "Pro")], hint="You can change it later.") }}
    {{ text_area(form, "note", "Note", required=false) }}
    {{ checkbox(form, "agree", "I agree", hint="To the terms.") }}
    <p class="row"><button type="submit">Save</button> <button type="submit" class="quiet">Cancel</button>
      <button type="submit" class="danger">Delete</button>
      <button type="submit" class="quiet danger">Revoke</button></p>
  </form>
</div>
{% endblock %}
"""
NARROW: Final = """\
{% extends "base.html" %}
{% from "macros.html" import field, form_error %}
{% block title %}Log in · {{ product.name }}{% endblock %}
{% block main %}
<div class="narrow plain-page">
  <form class="stack" method="post" action="/login">
    <h1>Log in</h1>
    {{ field(form, "email", "E-mail", type="email", autocomplete="username") }}
    {{ field(form, "password", "Password", type="password", autocomplete="current-password") }}
    <button type="submit" class="full">Log in</button>
    <p class="or">or</p>
    <a class="button quiet full" href="/login/link">Send me a link</a>
  </form>
</div>
{% endblock %}
"""


def write_kitchen(folder: Path) -> None:
    """The founder's folder."""
    (folder / "app.py").write_text(APP)
    (folder / "templates").mkdir()
    (folder / "templates" / "kitchen.html").write_text(TEMPLATE)
    (folder / "templates" / "narrow.html").write_text(NARROW)
