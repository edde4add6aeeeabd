"""The `openai` package's async client, with its helpers for streams."""

import asyncio
import json
from functools import cache

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from tests.clients.programs.openai_common import CHAT_TOOL, City, messages, told
from tests.clients.programs.talk import Said, Task, said, work


@cache
def _connected(base_url: str, api_key: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=base_url, api_key=api_key)


def client(task: Task) -> AsyncOpenAI:
    return _connected(task.base_url, task.api_key)


async def _answered(task: Task) -> ChatCompletion:
    return await client(task).chat.completions.create(model=task.model, messages=messages(task))


async def plain(task: Task) -> Said:
    answer = await _answered(task)
    assert answer.usage
    return said(answer.choices[0].message.content, answer.usage.prompt_tokens, answer.usage.completion_tokens)


async def at_once(task: Task) -> Said:
    """Eight calls side by side."""
    answers = await asyncio.gather(*(_answered(task) for _ in range(8)))
    usages = [answer.usage for answer in answers if answer.usage]
    text = answers[0].choices[0].message.content
    return said(text, sum(u.prompt_tokens for u in usages), sum(u.completion_tokens for u in usages))


async def stream(task: Task) -> Said:
    async with client(task).chat.completions.stream(
        model=task.model, messages=messages(task), stream_options={"include_usage": True}
    ) as events:
        text = "".join([event.delta async for event in events if event.type == "content.delta"])
        answer = await events.get_final_completion()
    assert answer.usage
    assert answer.choices[0].message.content == text
    return said(text, answer.usage.prompt_tokens, answer.usage.completion_tokens)


async def tools(task: Task) -> Said:
    """The call comes in pieces, which the helper puts together."""
    async with client(task).chat.completions.stream(
        model=task.model, messages=messages(task), tools=[CHAT_TOOL], stream_options={"include_usage": True}
    ) as events:
        answer = await events.get_final_completion()
    message = answer.choices[0].message
    assert message.tool_calls
    [call] = message.tool_calls
    assert answer.usage
    tool = {"name": call.function.name, "arguments": json.loads(call.function.arguments)}
    return said(message.content, answer.usage.prompt_tokens, answer.usage.completion_tokens, tool=tool)


async def structured(task: Task) -> Said:
    async with client(task).chat.completions.stream(
        model=task.model, messages=messages(task), response_format=City, stream_options={"include_usage": True}
    ) as events:
        answer = await events.get_final_completion()
    message = answer.choices[0].message
    assert message.parsed
    assert answer.usage
    data = message.parsed.model_dump()
    return said(message.content, answer.usage.prompt_tokens, answer.usage.completion_tokens, data=data)


async def responses(task: Task) -> Said:
    answer = await client(task).responses.create(model=task.model, input=task.prompt)
    assert answer.usage
    return said(answer.output_text, answer.usage.input_tokens, answer.usage.output_tokens)


async def responses_stream(task: Task) -> Said:
    async with client(task).responses.stream(model=task.model, input=task.prompt) as events:
        text = "".join([event.delta async for event in events if event.type == "response.output_text.delta"])
        answer = await events.get_final_response()
    assert answer.usage
    assert answer.output_text == text
    return said(text, answer.usage.input_tokens, answer.usage.output_tokens)


async def responses_structured(task: Task) -> Said:
    async with client(task).responses.stream(model=task.model, input=task.prompt, text_format=City) as events:
        answer = await events.get_final_response()
    assert answer.output_parsed
    assert answer.usage
    data = answer.output_parsed.model_dump()
    return said(answer.output_text, answer.usage.input_tokens, answer.usage.output_tokens, data=data)


async def embeddings(task: Task) -> Said:
    answer = await client(task).embeddings.create(
        model=task.embedding_model, input=[task.prompt, "and this"], encoding_format="float"
    )
    return said(None, answer.usage.prompt_tokens, 0, vectors=[item.embedding for item in answer.data])


async def models(task: Task) -> Said:
    return {"models": [model.id async for model in client(task).models.list()]}


if __name__ == "__main__":
    work(
        {
            "plain": plain,
            "at_once": at_once,
            "stream": stream,
            "tools": tools,
            "structured": structured,
            "responses": responses,
            "responses_stream": responses_stream,
            "responses_structured": responses_structured,
            "embeddings": embeddings,
            "models": models,
        },
        told,
    )
