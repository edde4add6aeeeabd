"""`farebox dev`, as somebody runs it for the first time: in an empty folder, with nothing set."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx2
import pytest

from farebox.cli.dev import curl
from farebox.cli.load import load_app
from farebox.domain import apikey
from farebox.domain.errors import FounderError
from farebox.sandbox.stripe import DEFAULT_KEY
from tests.api.shop import get
from tests.services.command import farebox, printed
from tests.services.process import ProcessGroup, free_port, is_listening, wait_until
from tests.services.served import FOREIGN_SETTINGS

NOBODY: Final = {f"{name}_BASE_URL": "http://127.0.0.1:9/v1" for name in ("OLLAMA", "LMSTUDIO")}
NOBODYS_ID: Final = 65_534
NOWHERE: Final = "http://127.0.0.1:9"
APP: Final = (
    'from farebox import Farebox, Plan\napp = Farebox("Tagliner", plans=[Plan("free", calls=20), Plan("{plan}")])\n'
)


@contextmanager
def dev(folder: Path, *arguments: str, **settings: str) -> Iterator[ProcessGroup]:
    """`farebox dev` until it has said all it says at its start; its log lies outside the folder."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    log = folder.with_suffix(".log")
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "farebox", "dev", *arguments]
    process = ProcessGroup(command, log=log, env=own | NOBODY | settings, cwd=folder, forks=True)
    try:
        wait_until(lambda: not process.running or "Ctrl-C stops it" in process.output(), "the welcome",
                   timeout_seconds=60)  # fmt: skip
        process.require_running()
        yield process
    finally:
        if process.running:
            process.kill()


def line(process: ProcessGroup, beginning: str) -> str:
    [found] = [text for text in process.output().splitlines() if text.strip().startswith(beginning)]
    return found.strip()


def key_of(process: ProcessGroup) -> str:
    return line(process, "Key").split()[-1]


def paste(command: str) -> str:
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout


def plan_of(url: str, key: str) -> str:
    return str(get(f"{url}/v1/usage", key).json()["plan"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Empty, and a place of its own beside the database of the test."""
    found = tmp_path / "shop"
    found.mkdir()
    return found


def test_in_an_empty_folder_the_curl_line_works_and_the_key_stays(folder: Path) -> None:
    port = str(free_port())
    with dev(folder, "--port", port) as process:
        url = f"http://127.0.0.1:{port}"
        assert line(process, "Farebox demo runs at") == f"Farebox demo runs at {url}"
        assert line(process, "Docs") == f"Docs   {url}/docs"
        assert "farebox-sandbox" in line(process, "Model")
        assert "set OPENAI_API_KEY" in line(process, "Model")
        assert "pro, for the account dev@localhost" in line(process, "Plan")
        answer = paste(line(process, "curl"))  # at once: who is early only waits
        assert '"text":"[farebox-sandbox] You wrote' in answer
        assert '"calls_remaining":4999' in answer
        assert get(f"{url}/docs").status == 200
        key = key_of(process)
        assert apikey.parse(key)
        assert process.stop(signal.SIGINT) == 0
    assert line(process, "Ctrl-C") == process.output().strip().splitlines()[-1]  # it ended without a word
    assert {path.name for path in folder.iterdir()} == {
        "farebox-stripe.db", "farebox.db", "farebox.db.lock", "farebox.secret",
    }  # fmt: skip
    assert not any(key.encode() in path.read_bytes() for path in folder.iterdir())
    with dev(folder, "--port", port) as process:
        assert key_of(process) == key
        assert '"calls_remaining":4998' in paste(line(process, "curl"))


def test_a_stand_in_for_stripe_sells_what_the_file_says_and_again_after_a_change_of_it(folder: Path) -> None:
    app, port = folder / "app.py", str(free_port())
    app.write_text(APP.format(plan="pro").replace('Plan("pro")', 'Plan("pro", usd=29)'))
    with dev(folder, "--port", port) as process:
        stripe = line(process, "Stripe").split()[1].rstrip(",")

        def sold() -> set[str]:
            answer = httpx2.get(f"{stripe}/v1/prices", auth=(DEFAULT_KEY, ""), trust_env=False, timeout=60)
            return {price["lookup_key"] for price in answer.json()["data"]}

        assert get(f"{stripe}/").status == 200
        wait_until(lambda: sold() == {"farebox_pro_month_2900"}, "the plan to be for sale")
        app.write_text(app.read_text().replace("29", "39"))
        wait_until(lambda: "farebox_pro_month_3900" in sold(), "the plan's new price")
        assert process.stop(signal.SIGINT) == 0
    assert "Traceback" not in process.output()


def test_a_stripe_of_the_founders_own_is_asked_instead(folder: Path) -> None:
    with dev(folder, "--port", str(free_port()), STRIPE_SECRET_KEY="sk_test_x", STRIPE_API_BASE=NOWHERE) as process:
        assert "Stripe" not in process.output()


def test_a_revoked_key_is_followed_by_another(folder: Path, pg_url: str) -> None:
    port = str(free_port())
    settings = {"FAREBOX_DATABASE_URL": pg_url}
    with dev(folder, "--port", port, **settings) as process:
        key = key_of(process)
        printed(folder, "keys", "revoke", key, **settings)
        assert get(f"http://127.0.0.1:{port}/v1/usage", key).status == 401
    with dev(folder, "--port", port, **settings) as process:
        assert key_of(process) != key
        assert "[farebox-sandbox]" in paste(line(process, "curl"))


def test_a_change_of_the_file_is_served_and_a_mistake_in_it_is_a_sentence(folder: Path, empty_url: str) -> None:
    app, port = folder / "app.py", str(free_port())
    app.write_text(APP.format(plan="pro"))
    url = f"http://127.0.0.1:{port}"

    def served_plan(name: str) -> bool:
        return f'"{name}"' in get(f"{url}/openapi.json").body.decode()

    with dev(folder, "--port", port, FAREBOX_DATABASE_URL=empty_url) as process:
        assert "Tagliner runs at" in process.output()
        assert "It restarts when you change your file." in process.output()
        assert "[farebox-sandbox]" in paste(line(process, "curl"))
        assert plan_of(url, key_of(process)) == "pro"
        app.write_text("app = Farebox(\n")
        wait_until(lambda: "app.py, line 1: " in process.output(), "the mistake to be told")
        assert "Traceback" not in process.output()
        app.write_text(APP.format(plan="pro").replace("Tagliner", "Headliner"))
        wait_until(lambda: served_plan("Headliner"), "the mended file to be served")
        assert process.stop(signal.SIGINT) == 0
    assert not is_listening(int(port))


def test_the_developer_follows_a_plan_that_the_file_has_renamed(folder: Path) -> None:
    app, port = folder / "shop.py", str(free_port())
    app.write_text(APP.format(plan="pro"))
    with dev(folder, "shop.py", "--port", port):
        pass
    app.write_text(APP.format(plan="team"))
    with dev(folder, "shop.py", "--port", port) as process:
        assert "team, for the account dev@localhost (moved from 'pro'" in line(process, "Plan")
        assert plan_of(f"http://127.0.0.1:{port}", key_of(process)) == "team"


def test_a_provider_is_named_with_the_way_back(folder: Path) -> None:
    settings = {"OPENAI_API_KEY": "sk-a-key-of-the-tests-0000", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    with dev(folder, "--port", "0", **settings) as process:
        model = "gpt-4o-mini, from http://127.0.0.1:9/v1; without OPENAI_API_KEY the sandbox answers"
        assert line(process, "Model") == f"Model  {model}"


def test_providers_are_named_in_their_order_and_one_without_its_key_with_its_variable(folder: Path) -> None:
    models = '["groq:llama", "openai:gpt-4o", "mistral:small"], embedding_model="mistral:embed"'
    (folder / "app.py").write_text(f'from farebox import Farebox\napp = Farebox("Tagliner", model={models})\n')
    settings = {"OPENAI_API_KEY": "sk-a-key-of-the-tests-0000", "GROQ_BASE_URL": "http://127.0.0.1:9/v1"}
    with dev(folder, "--port", "0", **settings) as process:
        assert line(process, "Model") == (
            "Model  llama, from http://127.0.0.1:9/v1, if it fails gpt-4o, from https://api.openai.com/v1; "
            "set MISTRAL_API_KEY for small"
        )
        made_up = "Farebox(embedding_model=…) is answered by the sandbox: MISTRAL_API_KEY is not set"
        wait_until(lambda: made_up in process.output(), "the warning of what is not served so")


def test_a_key_of_a_provider_that_the_file_does_not_name_is_told(folder: Path) -> None:
    with dev(folder, "--port", "0", ANTHROPIC_API_KEY="sk-ant-of-the-tests-0000") as process:
        sandbox = "farebox-sandbox, which makes its answers up"
        told = 'ANTHROPIC_API_KEY is set: write model="anthropic:…" in your file to use it'
        charged = "What it answers is charged at the price of gpt-4o-mini"
        assert line(process, "Model") == f"Model  {sandbox}; {told}. {charged}"


@contextmanager
def model_server(*names: str) -> Iterator[tuple[str, list[str]]]:
    """What stands in for an Ollama: its models, and the models it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})

        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["model"])
            message = {"role": "assistant", "content": "I am at home."}
            usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
            self._answer({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})

        def _answer(self, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", asked
        finally:
            server.shutdown()
            thread.join()


def test_the_curl_line_calls_the_founders_own_function(folder: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "tagline.py"
    (folder / "app.py").write_text(example.read_text())
    with dev(folder, "--port", "0") as process:
        assert "/v1/tagline " in line(process, "curl")
        assert '"product": "a small coffee roaster in Lisbon"' in line(process, "curl")
        assert '"text":"[farebox-sandbox] You wrote: “Write a warm tagline' in paste(line(process, "curl"))


@pytest.mark.parametrize(("name", "title"), [("OLLAMA", "Ollama"), ("LMSTUDIO", "LM Studio")])
def test_a_model_that_runs_here_answers_where_no_provider_is_set_up(folder: Path, name: str, title: str) -> None:
    with (
        model_server("nomic-embed-text", "llama3.2:latest", "phi") as (address, asked),
        dev(folder, "--port", "0", **{f"{name}_BASE_URL": address}) as process,
    ):
        here = f"llama3.2:latest of the {title} that runs here"
        assert line(process, "Model") == f"Model  {here}; set OPENAI_API_KEY (here, or in .env) for gpt-4o-mini"
        assert '"text":"I am at home."' in paste(line(process, "curl"))
        assert asked == ["llama3.2:latest"]


def test_a_model_that_runs_here_is_not_taken_from_a_founder_who_has_chosen(folder: Path) -> None:
    with model_server("llama3.2") as (address, _):
        chosen = {"OPENAI_API_KEY": "sk-a-key-of-the-tests-0000"}, {"ANTHROPIC_API_KEY": "sk-ant-of-the-tests-0000"}
        for settings in (*chosen, {"FAREBOX_MODEL": "groq:llama"}):
            with dev(folder, "--port", "0", OLLAMA_BASE_URL=address, **settings) as process:
                assert "llama3.2" not in line(process, "Model")


def test_a_key_that_is_set_later_ends_the_stay_at_home(folder: Path) -> None:
    (folder / "app.py").write_text(APP.format(plan="pro"))
    port = free_port()

    def answers() -> str:
        return paste(line(process, "curl"))

    with (
        model_server("llama3.2") as (home, _),
        model_server("gpt-4o-mini") as (away, asked),
        dev(folder, "--port", str(port), OLLAMA_BASE_URL=home) as process,
    ):
        assert "I am at home" in answers()
        assert asked == []
        (folder / ".env").write_text(f"OPENAI_BASE_URL={away}\n")

        def is_asked() -> bool:
            return bool(answers()) and asked == ["gpt-4o-mini"] * len(asked) != []

        wait_until(is_asked, "the provider to be asked")


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_a_taken_port_is_told_before_anything_else(folder: Path, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (folder / "app.py").write_text("1 / 0")  # not even read
        done = farebox(folder, command, "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    told = f"farebox: Port {port} is taken by another program; try: farebox {command} --port "
    assert done.stderr.startswith(told)
    assert int(done.stderr.removeprefix(told)) > port
    assert [path.name for path in folder.iterdir()] == ["app.py"]


def test_an_address_of_another_machine_is_told(folder: Path) -> None:
    done = farebox(folder, "dev", "--host", "203.0.113.7")
    assert "203.0.113.7 is not an address of this machine; try: farebox dev --host 127.0.0.1" in done.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("1 / 0", "line 1: ZeroDivisionError: division by zero"),
        ("import no_such_module", "line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import json\njson.loads('{')", "line 2: JSONDecodeError: "),
        ("def f(:", "line 1: "),
        ("import sys\nsys.exit(3)", "line 2: the file exits when it is loaded; take that line out."),
        ("x = '\0'", ": source code string cannot contain null bytes."),
        ("from farebox import Plan\nPlan('pro', call=5)", "line 2: Plan has no argument 'call'; did you mean calls=…?"),
        ("from farebox import Pack\nPack('s', usd=5, day=3)", "Pack has no argument 'day'; did you mean days=…?"),
        ("from farebox import Brand\nBrand(color='#fff')", "Brand has no argument 'color'; did you mean colour=…?"),
        ("from farebox import Brand\nBrand(xyz=1)", "Brand has no argument 'xyz'; it takes colour, logo."),
        (
            "from farebox import Farebox\nFarebox('T', tag_line='x')",
            "Farebox has no argument 'tag_line'; did you mean tagl",
        ),
        (
            "from farebox import Farebox\nFarebox('T').paid(unit=2)",
            "@app.paid has no argument 'unit'; did you mean units=…?",
        ),
        ("def f(): ...\nf(x=1)", "line 2: TypeError: f() got an unexpected keyword argument 'x'"),
        ("from farebox import Farebox\nFarebox('T', prices={'x': 1})", "million tokens, as (0.15, 0.6), not 1."),
        ("x = 1", " has no 'app' that is a Farebox. Add app = Farebox(…) to it"),
        (
            "from farebox import Farebox, Plan\napp = Farebox('T', plans=[Plan('X')])",
            "line 2: Plan('X'): a plan's name has to be",
        ),
    ],
)
def test_a_mistake_in_the_file_is_a_sentence_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, told: str
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    app = tmp_path / f"shop_{uuid.uuid4().hex}.py"
    app.write_text(content)
    with pytest.raises(FounderError) as error:
        load_app(str(app))
    assert str(error.value).startswith(str(app))
    assert told in str(error.value)


@pytest.mark.skipif(os.name != "posix", reason="there everybody reads the file")
def test_a_file_that_may_not_be_read_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        app = Path(folder).resolve() / f"shop_{uuid.uuid4().hex}.py"
        app.touch(mode=0o000)
        user = os.geteuid()
        os.seteuid(user or NOBODYS_ID)  # root may read it
        try:
            with pytest.raises(FounderError) as told:
                load_app(str(app))
        finally:
            os.seteuid(user)
    assert str(told.value) == f"{app} cannot be read (Permission denied); let the user who runs farebox read it."


def test_a_folder_is_not_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(folder)
    name = f"shop_{uuid.uuid4().hex}"
    (folder / name).mkdir()
    for target in (name, f"{name}/", str(folder / name), ".", ".."):
        with pytest.raises(
            FounderError, match=f"^{re.escape(target)} is a folder; .*name the file in it, as .*app.py$"
        ):
            load_app(target)


def test_a_file_with_the_name_of_another_module_is_told(folder: Path) -> None:
    (folder / "email.py").write_text(APP.format(plan="pro"))
    command = Path(sys.executable).with_name("farebox")
    done = subprocess.run(
        [command, "dev", "email.py", "--port", "0"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "email.py has the same name as another module, 'email'; rename the file." in done.stderr


def test_the_curl_line_suits_the_shell() -> None:
    unix = curl("http://127.0.0.1:8000", "till_live_x", windows=False)
    words = shlex.split(unix)
    assert words[:2] == ["curl", "http://127.0.0.1:8000/v1/generate"]
    assert words[-1] == '{"prompt": "Write a tagline for a dog-walking app"}'
    windows = curl("http://127.0.0.1:8000", "till_live_x", windows=True)
    assert "'" not in windows
    assert windows.startswith("curl.exe http://127.0.0.1:8000/v1/generate ")
    assert windows.endswith(r'-d "{\"prompt\": \"Write a tagline for a dog-walking app\"}"')
    assert subprocess.list2cmdline(words[1:]).endswith(r'"{\"prompt\": \"Write a tagline for a dog-walking app\"}"')
