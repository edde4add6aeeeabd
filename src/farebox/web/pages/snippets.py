"""The same call as curl, as Python and as JavaScript."""

import json
import re
import shlex
from typing import Any, Final

from farebox.web.pages.offers import Offer

KEY: Final = "YOUR_API_KEY"
LINE_CHARS_MAX: Final = 58  # what a narrow column shows without scrolling
_NAME: Final = re.compile(r'^(\s*)"([A-Za-z_]\w*)":', re.MULTILINE)


def snippets(offer: Offer, url: str, key: str = KEY, request: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    """The call in each language: its name and the code. `url` is the service's, without the endpoint's path."""
    values = offer.request if request is None else request
    address = f"{url}{offer.path}"
    return [
        ("curl", curl(offer, address, key, values)),
        ("Python", python(offer, address, key, values)),
        ("JavaScript", javascript(offer, address, key, values)),
    ]


def openai_snippets(url: str, model: str) -> list[tuple[str, str]]:
    """OpenAI's own clients, pointed at this service."""
    python = f"""from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="{KEY}")

answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Hello!"}}],
)
print(answer.choices[0].message.content)"""
    javascript = f"""import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{url}/v1", apiKey: "{KEY}" }});

const answer = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "Hello!" }}],
}});
console.log(answer.choices[0].message.content);"""
    return [("Python", python), ("JavaScript", javascript)]


def curl(offer: Offer, address: str, key: str, values: dict[str, Any]) -> str:
    is_usual = offer.method == ("POST" if offer.has_body else "GET")
    options = f"{'-N ' if offer.is_stream else ''}{'' if is_usual else f'-X {offer.method} '}"
    lines = [f"curl {options}{shlex.quote(address)}"]
    if key:
        lines.append(f"-H {shlex.quote(f'X-API-Key: {key}')}")
    if offer.takes_files:
        files = _file_fields(offer)
        lines += [f"-F {shlex.quote(f'{name}=@{value}' if name in files else f'{name}={_as_text(value)}')}"
                  for name, value in _parts(values, files)]  # fmt: skip
    elif offer.has_body:
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(_indented(_json(values), 2))}"]
    return " \\\n  ".join(lines)


def python(offer: Offer, address: str, key: str, values: dict[str, Any]) -> str:
    arguments = [f'"{address}"', f'headers={{"X-API-Key": "{key}"}}']
    if offer.takes_files:
        files = _file_fields(offer)
        opened = [(name, f'open({json.dumps(value)}, "rb")')
                  for name, value in _parts(values, files) if name in files]  # fmt: skip
        is_plain = len(dict(opened)) == len(opened)
        listed = ", ".join(f'"{name}": {file}' if is_plain else f'("{name}", {file})' for name, file in opened)
        rest = {name: _as_text(value) for name, value in values.items() if name not in files}
        arguments += [f"files={{{listed}}}" if is_plain else f"files=[{listed}]"]
        arguments += [f"data={_python(rest)}"] if rest else []
    else:
        arguments.append(f"json={_indented(_python(values))}")
    if offer.is_stream:
        arguments.append("stream=True")
    call = "answer = requests.post(\n    " + ",\n    ".join(arguments) + ",\n)"
    read = "for line in answer.iter_lines():\n    print(line.decode())" if offer.is_stream else "print(answer.json())"
    return f"import requests\n\n{call}\n{read}"


def javascript(offer: Offer, address: str, key: str, values: dict[str, Any]) -> str:
    if offer.takes_files:
        files = _file_fields(offer)
        parts = []
        for name, value in _parts(values, files):
            part = (
                f'new File(["…"], {json.dumps(value, ensure_ascii=False)})'
                if name in files
                else json.dumps(_as_text(value))
            )
            parts.append(f'form.append("{name}", {part});')
        before = "const form = new FormData();\n" + "\n".join(parts) + "\n\n"
        headers, body = f'{{ "X-API-Key": "{key}" }}', "form"
    else:
        before = ""
        headers = f'{{\n    "X-API-Key": "{key}",\n    "Content-Type": "application/json",\n  }}'
        unquoted = _NAME.sub(r"\1\2:", _json(values, is_wide=True))
        body = f"JSON.stringify({_indented(unquoted, 2)})"
    call = (
        f'const answer = await fetch("{address}", {{\n  method: "POST",\n  headers: {headers},\n  body: {body},\n}});'
    )
    read = (
        "for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {\n  console.log(piece);\n}"
        if offer.is_stream
        else "console.log(await answer.json());"
    )
    return f"{before}{call}\n{read}"


def _file_fields(offer: Offer) -> set[str]:
    return {name for name, part in offer.schema.get("properties", {}).items() if '"binary"' in json.dumps(part)}


def _parts(values: dict[str, Any], files: set[str]) -> list[tuple[str, Any]]:
    """The parts of a form: each of several files is one."""
    return [
        (name, one)
        for name, value in values.items()
        for one in (value if name in files and isinstance(value, list) else [value])
    ]


def _as_text(value: object) -> str:
    """A value as a form has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(values: object, *, is_wide: bool = False) -> str:
    text = json.dumps(values, ensure_ascii=False)
    return json.dumps(values, indent=2, ensure_ascii=False) if is_wide or len(text) > LINE_CHARS_MAX else text


def _python(value: Any, depth: int = 0) -> str:  # noqa: ANN401  # JSON
    """A JSON value as Python writes it."""
    match value:
        case dict() if value:
            pairs = [
                f"{json.dumps(name, ensure_ascii=False)}: {_python(part, depth + 1)}" for name, part in value.items()
            ]
            return _listed("{", pairs, "}", depth)
        case list() if value:
            return _listed("[", [_python(part, depth + 1) for part in value], "]", depth)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return repr(value)


def _listed(opening: str, parts: list[str], closing: str, depth: int) -> str:
    line = opening + ", ".join(parts) + closing
    if len(line) + 4 * depth <= LINE_CHARS_MAX and "\n" not in line:
        return line
    inner = "    " * (depth + 1)
    return opening + "\n" + "".join(f"{inner}{part},\n" for part in parts) + "    " * depth + closing


def _indented(text: str, spaces: int = 4) -> str:
    """All lines but the first moved to the right."""
    return text.replace("\n", "\n" + " " * spaces)
