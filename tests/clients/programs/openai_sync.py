"""The `openai` package, as most people use it."""

import json
from functools import cache

from openai import OpenAI
from openai.types.responses import ResponseInputParam

from tests.clients.programs.openai_common import CHAT_TOOL, RESPONSES_TOOL, City, messages, told
from tests.clients.programs.talk import Said, Task, said, work


@cache
def _connected(base_url: str, api_key: str) -> OpenAI:
    return OpenAI(base_url=base_url, api_key=api_key)


def client(task: Task) -> OpenAI:
    return _connected(task.base_url, task.api_key)


def plain(task: Task) -> Said:
    answer = client(task).chat.completions.create(model=task.model, messages=messages(task))
    assert answer.usage
    return said(answer.choices[0].message.content, answer.usage.prompt_tokens, answer.usage.completion_tokens)


def stream(task: Task) -> Said:
    options = client(task).chat.completions.create(
        model=task.model, messages=messages(task), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(options)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    usage = chunks[-1].usage
    assert usage
    return said(text, usage.prompt_tokens, usage.completion_tokens)


def stream_without_usage(task: Task) -> Said:
    """Nobody asked for the usage, so no chunk may have it."""
    chunks = list(client(task).chat.completions.create(model=task.model, messages=messages(task), stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks), chunks[-1]
    return said("".join(chunk.choices[0].delta.content or "" for chunk in chunks), None, None)


def tools(task: Task) -> Said:
    """The model calls the tool, is told its result, and answers."""
    talk = messages(task)
    first = client(task).chat.completions.create(model=task.model, messages=talk, tools=[CHAT_TOOL])
    message = first.choices[0].message
    assert message.tool_calls
    [call] = message.tool_calls
    assert call.type == "function"
    talk += [
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "21"},
    ]
    second = client(task).chat.completions.create(model=task.model, messages=talk, tools=[CHAT_TOOL])
    assert first.usage
    assert second.usage
    return said(
        second.choices[0].message.content,
        first.usage.prompt_tokens + second.usage.prompt_tokens,
        first.usage.completion_tokens + second.usage.completion_tokens,
        tool={"name": call.function.name, "arguments": json.loads(call.function.arguments)},
    )


def structured(task: Task) -> Said:
    answer = client(task).chat.completions.parse(model=task.model, messages=messages(task), response_format=City)
    message = answer.choices[0].message
    assert message.parsed
    assert answer.usage
    return said(
        message.content, answer.usage.prompt_tokens, answer.usage.completion_tokens, data=message.parsed.model_dump()
    )


def responses(task: Task) -> Said:
    answer = client(task).responses.create(model=task.model, input=task.prompt)
    assert answer.usage
    return said(answer.output_text, answer.usage.input_tokens, answer.usage.output_tokens)


def responses_stream(task: Task) -> Said:
    text = ""
    for event in client(task).responses.create(model=task.model, input=task.prompt, stream=True):
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.completed":
            usage = event.response.usage
            assert usage
            return said(text, usage.input_tokens, usage.output_tokens)
    raise AssertionError("the stream ended before response.completed")


def responses_tools(task: Task) -> Said:
    talk: ResponseInputParam = [{"role": "user", "content": task.prompt}]
    first = client(task).responses.create(model=task.model, input=talk, tools=[RESPONSES_TOOL])
    [call] = [item for item in first.output if item.type == "function_call"]
    talk += [
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "21"},
    ]
    second = client(task).responses.create(model=task.model, input=talk, tools=[RESPONSES_TOOL])
    assert first.usage
    assert second.usage
    return said(
        second.output_text,
        first.usage.input_tokens + second.usage.input_tokens,
        first.usage.output_tokens + second.usage.output_tokens,
        tool={"name": call.name, "arguments": json.loads(call.arguments)},
    )


def responses_structured(task: Task) -> Said:
    answer = client(task).responses.parse(model=task.model, input=task.prompt, text_format=City)
    assert answer.output_parsed
    assert answer.usage
    data = answer.output_parsed.model_dump()
    return said(answer.output_text, answer.usage.input_tokens, answer.usage.output_tokens, data=data)


def embeddings(task: Task) -> Said:
    """The package asks for base64 by itself, and makes numbers of it."""
    answer = client(task).embeddings.create(model=task.embedding_model, input=[task.prompt, "and this"])
    return said(None, answer.usage.prompt_tokens, 0, vectors=[item.embedding for item in answer.data])


def models(task: Task) -> Said:
    return {"models": [model.id for model in client(task).models.list()]}


if __name__ == "__main__":
    work(
        {
            "plain": plain,
            "stream": stream,
            "stream_without_usage": stream_without_usage,
            "tools": tools,
            "structured": structured,
            "responses": responses,
            "responses_stream": responses_stream,
            "responses_tools": responses_tools,
            "responses_structured": responses_structured,
            "embeddings": embeddings,
            "models": models,
        },
        told,
    )
