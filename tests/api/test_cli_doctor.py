"""`farebox doctor` as a command: every line of it, and the files around."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import typer

from farebox import settings as settings_module
from farebox.cli import doctor
from farebox.cli.doctor_env import check_env_files
from farebox.cli.findings import Finding, note
from farebox.domain.errors import FounderError
from tests.services.command import farebox, printed
from tests.services.mail import MailServer
from tests.services.process import free_port
from tests.services.served import Served
from tests.services.upstream import FakeUpstream
from tests.services.upstream.certificate import self_signed

KEY: Final = "sk-proj-0123456789abcdefghijABCD"


def levels(findings: list[str]) -> dict[str, str]:
    """Subject → level of the lines; where there are several of a subject, the gravest."""
    found: dict[str, str] = {}
    for line in findings:
        level, _, rest = line.partition(" ")
        subject = rest.strip().partition(":")[0]
        found[subject] = max(found.get(subject, ""), level, key=["", "ok", "note", "FIX"].index)
    return found


def examined(folder: Path, *arguments: str, code: int = 1, **settings: str) -> list[str]:
    done = farebox(folder, "doctor", "--port", str(free_port()), *arguments, **settings)
    assert (done.returncode, done.stderr) == (code, ""), done
    return done.stdout.splitlines()


def test_nothing_configured_is_nothing_wrong_and_nothing_is_made(bare: Path) -> None:
    lines = examined(bare, code=0)
    assert levels(lines) == {
        "python": "ok", "app file": "note", ".env": "ok", "provider": "note", "database": "ok", "mail": "note",
        "stripe": "note", "port": "ok",
    }  # fmt: skip
    assert lines[0].startswith("ok  python: 3.")
    assert list(bare.iterdir()) == []


def test_a_proxy_that_could_be_anybody_is_told(bare: Path) -> None:
    for believed, is_told in (("0.0.0.0/0", True), ("10.0.0.0/8, ::/0", True), ("10.0.0.0/8", False)):
        lines = examined(bare, code=0, FAREBOX_TRUSTED_PROXIES=believed)
        assert any("believes everybody" in line for line in lines) is is_told, believed


def test_all_in_order_is_said_line_by_line(bare: Path, upstream: FakeUpstream, pg_url: str) -> None:
    (bare / "app.py").write_text(
        'from farebox import Farebox, Plan\napp = Farebox("Till", plans=[Plan("pro", calls=9)])\n'
    )
    (bare / ".env").write_text(f"OPENAI_API_KEY={KEY}\nOPENAI_BASE_URL={upstream.base_url}\n")
    settings = {"FAREBOX_DATABASE_URL": pg_url, "FAREBOX_SECRET_KEY": "a secret of the tests, long enough"}
    printed(bare, "migrate", **settings)
    with MailServer() as mail, Served(env=settings, cwd=bare) as server:
        settings |= {"SMTP_URL": mail.url, "FAREBOX_PUBLIC_URL": "https://till.example"}
        unnamed = examined(bare, "--port", str(server.port), code=0, **settings)
        assert levels(unnamed)["proxies"] == "note"
        settings |= {"FAREBOX_TRUSTED_PROXIES": "127.0.0.1"}
        lines = examined(bare, "--port", str(server.port), code=0, **settings)
    assert set(levels(lines).values()) == {"ok"}
    text = "\n".join(lines)
    assert "provider key: sk-…ABCD" in text
    assert KEY not in text
    assert f"provider: {upstream.base_url} answers" in text
    assert "price: gpt-4o-mini costs $" in text
    assert "is written to and up to date" in text
    assert "clock: as the database's" in text
    assert f"mail: 127.0.0.1:{mail.port} takes mails, from no-reply@till.example" in text
    assert f"port: {server.port} is served by a Farebox" in text


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"SMTP_URL": "mail.example.com"}, "SMTP_URL names no mail server. Write it as smtp://user:password@host:587"),
        ({"SMTP_URL": "smtp://me:s3cret@127.0.0.1:1"}, "127.0.0.1:1 cannot be used ("),
        ({"FAREBOX_MAIL_FROM": "me"}, "FAREBOX_MAIL_FROM is no address; write hello@example.com"),
        ({"FAREBOX_TRUSTED_PROXIES": "proxy"}, "FAREBOX_TRUSTED_PROXIES has something that is neither an address"),
    ],
)
def test_mail_that_would_not_be_sent_is_told(bare: Path, settings: dict[str, str], told: str) -> None:
    lines = examined(bare, code=1, **settings)
    [line] = [line for line in lines if told in line]
    assert line.startswith("FIX")
    assert "s3cret" not in "".join(lines)
    for command in (["serve", "--port", "0"], ["dev", "--port", "0"]):
        if "127.0.0.1:1" not in told:
            done = farebox(bare, *command, **settings)
            assert (done.returncode, told in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_a_password_that_the_mail_server_does_not_take_is_told(bare: Path, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    if certificate is None:
        pytest.skip("there is no openssl here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with MailServer(user="till", password="right", tls_context=context) as server:
        settings = {"SSL_CERT_FILE": str(certificate), "FAREBOX_PUBLIC_URL": "https://till.example"}
        url = f"smtp://till:{{}}@127.0.0.1:{server.port}"
        lines = examined(bare, code=1, **settings, SMTP_URL=url.format("wr0ng-one"))
        [line] = [line for line in lines if "does not let till in (535" in line]
        assert "mend SMTP_URL" in line
        assert "wr0ng-one" not in "".join(lines)
        assert levels(examined(bare, code=0, **settings, SMTP_URL=url.format("right")))["mail"] == "ok"


def test_files_that_are_not_read_are_found_around(bare: Path) -> None:
    (bare.parent / ".env").write_text("export OPENAI_API_KEY = sk-1\nOTHER=1\n")
    (bare / "shop").mkdir()
    (bare / "shop" / ".env").write_text("FAREBOX_PUBLIC_URL=https://till.example\n")
    (bare / "shop" / "app.py").touch()
    (bare / "other").mkdir()
    (bare / "other" / ".env").write_text("NODE_ENV=production\nSTRIPE_SECRET_KEY=\nOPENAI_BASE_URL=https://x/v1\n")
    (bare / ".env.txt").write_text("FAREBOX_SECRET_KEY=0123456789abcdef\n")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        lines = examined(
            bare,
            "--port",
            str(port),
            FAREBOX_DATABSE_URL="x",
            OPENAI_BASE_URL="nowhere",
            FAREBOX_SERVICE_HOST="10.0.0.1",
            FAREBOX_REDIS_URL="redis://:s3cret@10.0.0.1",
        )
    found = [line for line in lines if line.startswith("FIX")]
    assert found[:4] == [
        f"FIX .env: {bare}/.env.txt is not read under this name → rename it to .env",
        f"FIX .env: {bare.parent}/.env sets OPENAI_API_KEY, and is not read → move it to {bare}",
        f"FIX .env: {bare}/shop/.env sets FAREBOX_PUBLIC_URL, and is not read → run farebox in {bare}/shop",
        "FIX settings: FAREBOX_DATABSE_URL is not a setting → write it as FAREBOX_DATABASE_URL",
    ]
    assert found[4] == "FIX provider address: OPENAI_BASE_URL=nowhere is no web address → write it as https://host/v1"
    assert found[5].startswith(f"FIX port: Port {port} is taken by another program → farebox dev --port ")
    assert len(found) == 6
    assert (
        "note settings: FAREBOX_REDIS_URL is read by nothing yet: all that Redis could do, the database does" in lines
    )


def test_a_check_that_breaks_off_leaves_the_others_and_tells_no_secret(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks_off(*_: object) -> Iterator[Finding]:
        yield note("mail", "the first of two")
        raise LookupError("s3cret")

    monkeypatch.setattr(doctor, "check_mail", breaks_off)
    with pytest.raises(typer.Exit):
        doctor.doctor(None, free_port(), 1)
    lines = capsys.readouterr().out.splitlines()
    [told] = [line for line in lines if line.startswith("FIX")]
    assert told.startswith("FIX mail: the rest could not be looked at (LookupError, at test_cli_doctor.py, line ")
    assert levels(lines)["stripe"] == "note"
    assert lines[-1].startswith("ok  port")
    assert list(bare.iterdir()) == []


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_that_is_not_utf8_is_told(bare: Path, encoding: str) -> None:
    (bare / ".env").write_bytes("OPENAI_API_KEY=schlüssel\n".encode(encoding))
    [told] = check_env_files([bare, bare])
    assert told.sentence == f".env: {bare}/.env is not UTF-8 text → save it again as UTF-8"
    with pytest.raises(FounderError, match=r"The file \.env is not UTF-8 text; save it again as UTF-8"):
        settings_module.load()


def test_every_line_that_cannot_be_read_is_told(bare: Path) -> None:
    (bare / ".env").write_text("OPENAI_API_KEY: sk-1\nFAREBOX_PUBLIC_URL=https://till.example\nSMTP_URL 'x\n")
    assert [told.sentence for told in check_env_files([bare])] == [
        f".env: {bare}/.env, line {line} cannot be read → write it as NAME=value, with every quote closed"
        for line in (1, 3)
    ]


def test_the_mark_that_windows_editors_write_is_no_part_of_a_name(bare: Path) -> None:
    (bare / ".env").write_bytes(b"\xef\xbb\xbfOPENAI_BASE_URL=https://till.example/v1\n")
    assert settings_module.load().openai_base_url == "https://till.example/v1"


def test_mistakes_in_the_app_file_and_in_a_setting_do_not_end_the_examination(bare: Path) -> None:
    (bare / "app.py").write_text("1 / 0\n")
    found = levels(examined(bare, FAREBOX_SWEEP_SECONDS="soon"))
    assert found == {"python": "ok", "app file": "FIX", ".env": "ok", "settings": "FIX", "port": "ok"}


def test_of_an_app_file_that_cannot_be_loaded_nothing_is_said_but_that(bare: Path) -> None:
    printed(bare, "accounts", "create", "ada@example.com", "--plan", "pro")
    (bare / "app.py").write_text("from farebox import Farebox, Plan\napp = Farebox('Till', plans=[Plan('gold')])\n")
    assert any("no longer has the plan 'pro'" in line for line in examined(bare, code=0))
    (bare / "app.py").write_text("1 / 0\n")
    found = levels(examined(bare))
    assert found == {
        "python": "ok", "app file": "FIX", ".env": "ok", "database": "ok", "mail": "note", "port": "ok"
    }  # fmt: skip


def test_prices_plans_and_templates(bare: Path, upstream: FakeUpstream) -> None:
    app = "from farebox import Farebox, Plan\napp = Farebox('Till', model='openai:my-model', plans=[Plan('{}')])\n"
    (bare / ".env").write_text(f"OPENAI_API_KEY={KEY}\nOPENAI_BASE_URL={upstream.base_url}\n")
    own = '@app.paid(model="openai:own")\nasync def own(call) -> str:\n    "Do."\n    return "x"\n'
    (bare / "app.py").write_text(app.format("free', credit_usd='5', markup='20") + own)
    (bare / "templates").mkdir()
    (bare / "templates" / "pricing.html").write_text("{% if %}")
    text = "\n".join(examined(bare))
    (bare / "templates" / "pricing.html").unlink()
    assert f"FIX templates: {bare}/templates/pricing.html, line 1: Expected an expression" in text
    assert "note price: Plan('free') has markup=20, which charges 21 times the model's cost; for 20 % write" in text
    assert "FIX price: that of own is not known, and plan 'free' is limited in money → say it in your file" in text
    assert "FIX price: that of my-model is not known, and plan 'free' is limited in money → say it in your file" in text
    assert "note model: the provider does not list 'my-model'; check its name in your file" in text
    (bare / "app.py").write_text(app.format("free"))
    text = "\n".join(examined(bare, code=0))
    assert "note price: that of my-model is not known, so costs are recorded as 0; say it in your file" in text
    assert "note plans: 'free' has no monthly limit: one customer can spend any sum of yours" in text


def test_a_plan_whose_credit_has_no_room_for_a_function_is_told(bare: Path) -> None:
    (bare / "app.py").write_text("""
from farebox import Call, Farebox, Plan
plans = [Plan(n, credit_usd=c, markup=0.5, credit_overage=o) for n, c, o in
         [("small", "0.049199", False), ("exact", "0.0492", False), ("more", "0.01", True), ("closed", 0, False)]]
app = Farebox("Till", plans=plans, prices={"gpt-4o-mini": (1, 2), "gpt-4o": (2, 2)})

@app.paid
async def wide(call: Call) -> str:
    "Do."
    return "x"

@app.paid(max_input_tokens=16_000, max_output_tokens=400, model="openai:gpt-4o")
async def dear(call: Call) -> str:
    "Do."
    return "x"

@app.paid(max_input_tokens=100)
async def narrow(call: Call) -> str:
    "Do."
    return "x"
""")
    found = [line for line in examined(bare) if "plans:" in line]
    assert found == [
        f"FIX plans: a call of {name} can come to $0.0492, and 'small' has $0.049199 a month, so none would ever pass "
        "→ lower max_input_tokens=… or max_output_tokens=… of the function, or raise the plan's credit"
        for name in ("wide", "dear")
    ]


def test_a_prepaid_plan_with_nothing_to_buy_is_told(bare: Path) -> None:
    app = "from farebox import Farebox, Pack, Plan\napp = Farebox('Till', plans=[Plan({})], packs=[{}])\n"
    plan, told = "'saved', calls=5, overage_usd=0.01, prepaid=True", "note plans: 'saved' is prepaid, and there is"
    (bare / "app.py").write_text(app.format(plan, ""))
    text = "\n".join(examined(bare, code=0))
    assert f"{told} nothing to buy for what is beyond it; sell credit in your file: packs=[" in text
    (bare / "app.py").write_text(app.format(plan, "Pack('small', usd=10)"))
    assert told not in "\n".join(examined(bare, code=0))
