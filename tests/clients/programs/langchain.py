"""LangChain's OpenAI integration."""

from functools import cache
from typing import Any

import openai
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

from tests.clients.programs.talk import Said, Task, failed, said, work


class City(BaseModel):
    """A city and its people."""

    name: str
    people: int


@tool
def temperature(city: str) -> int:
    """The temperature in a city, in degrees Celsius."""
    return 21 if city else 0


@cache
def _connected(base_url: str, api_key: str, model: str, *, responses: bool = False) -> ChatOpenAI:
    # Behind an address of one's own, LangChain does not ask for a stream's usage unless told to.
    return ChatOpenAI(
        base_url=base_url,  # type: ignore[call-arg]  # mypy's pydantic plugin does not see its aliases
        api_key=SecretStr(api_key),
        model=model,
        stream_usage=True,
        use_responses_api=responses,
    )


def model(task: Task, *, responses: bool = False) -> ChatOpenAI:
    return _connected(task.base_url, task.api_key, task.model, responses=responses)


def _said(*messages: AIMessage, **more: object) -> Said:
    """The last one's text, and what all of them used."""
    usages = [message.usage_metadata for message in messages if message.usage_metadata]
    return said(
        messages[-1].text,
        sum(usage["input_tokens"] for usage in usages),
        sum(usage["output_tokens"] for usage in usages),
        **more,
    )


def _whole(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def plain(task: Task) -> Said:
    return _said(model(task).invoke(task.prompt))


def stream(task: Task) -> Said:
    return _said(_whole(list(model(task).stream(task.prompt))))


def tools(task: Task) -> Said:
    with_tools = model(task).bind_tools([temperature])
    talk: list[BaseMessage] = [HumanMessage(task.prompt)]
    first = with_tools.invoke(talk)
    [call] = first.tool_calls
    second = with_tools.invoke([*talk, first, temperature.invoke(call)])
    return _said(first, second, tool={"name": call["name"], "arguments": call["args"]})


def structured(task: Task) -> Said:
    result: Any = model(task).with_structured_output(City, include_raw=True).invoke(task.prompt)
    return _said(result["raw"], data=result["parsed"].model_dump())


def responses(task: Task) -> Said:
    return _said(model(task, responses=True).invoke(task.prompt))


def responses_stream(task: Task) -> Said:
    return _said(_whole(list(model(task, responses=True).stream(task.prompt))))


def embeddings(task: Task) -> Said:
    """It tells no usage. Unless told otherwise it sends tokens' numbers, by tables that tiktoken downloads."""
    embedder = OpenAIEmbeddings(
        base_url=task.base_url,  # type: ignore[call-arg]  # as above
        api_key=SecretStr(task.api_key),
        model=task.embedding_model,
        check_embedding_ctx_length=False,
    )
    return said(None, None, None, vectors=embedder.embed_documents([task.prompt, "and this"]))


def told(error: Exception) -> Said | None:
    """Its errors are those of the `openai` package, and of its own too."""
    if isinstance(error, openai.APIStatusError):
        return failed(error, error.status_code, error.code)
    return None


if __name__ == "__main__":
    work(
        {
            "plain": plain,
            "stream": stream,
            "tools": tools,
            "structured": structured,
            "responses": responses,
            "responses_stream": responses_stream,
            "embeddings": embeddings,
        },
        told,
    )
