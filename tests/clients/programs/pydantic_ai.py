"""Pydantic AI, which rides on the `openai` package's async client."""

from functools import cache

from pydantic import BaseModel
from pydantic_ai import Agent, Embedder, ModelHTTPError, NativeOutput, RunUsage
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.programs.talk import Said, Task, failed, said, work


class City(BaseModel):
    """A city and its people."""

    name: str
    people: int


@cache
def _provider(base_url: str, api_key: str) -> OpenAIProvider:
    return OpenAIProvider(base_url=base_url, api_key=api_key)


def provider(task: Task) -> OpenAIProvider:
    return _provider(task.base_url, task.api_key)


def chat(task: Task) -> OpenAIChatModel:
    return OpenAIChatModel(task.model, provider=provider(task))


def _said(text: str | None, usage: RunUsage, **more: object) -> Said:
    return said(text, usage.input_tokens, usage.output_tokens, requests=usage.requests, **more)


async def plain(task: Task) -> Said:
    run = await Agent(chat(task)).run(task.prompt)
    return _said(run.output, run.usage)


async def stream(task: Task) -> Said:
    async with Agent(chat(task)).run_stream(task.prompt) as run:
        text = "".join([delta async for delta in run.stream_text(delta=True)])
        return _said(text, run.usage)


async def tools(task: Task) -> Said:
    """The agent's loop: call, tool, call."""
    seen: dict[str, object] = {}
    agent = Agent(chat(task))

    @agent.tool_plain
    def temperature(city: str) -> int:
        """The temperature in a city, in degrees Celsius."""
        seen.update(name="temperature", arguments={"city": city})
        return 21

    run = await agent.run(task.prompt)
    return _said(run.output, run.usage, tool=seen)


async def structured(task: Task) -> Said:
    """As JSON of a given form, which OpenAI calls a structured output."""
    run = await Agent(chat(task), output_type=NativeOutput(City)).run(task.prompt)
    return _said(None, run.usage, data=run.output.model_dump())


async def structured_as_tool(task: Task) -> Said:
    """As the arguments of a tool, which is what it does unless told otherwise."""
    run = await Agent(chat(task), output_type=City).run(task.prompt)
    return _said(None, run.usage, data=run.output.model_dump())


async def responses(task: Task) -> Said:
    run = await Agent(OpenAIResponsesModel(task.model, provider=provider(task))).run(task.prompt)
    return _said(run.output, run.usage)


async def responses_stream(task: Task) -> Said:
    async with Agent(OpenAIResponsesModel(task.model, provider=provider(task))).run_stream(task.prompt) as run:
        text = "".join([delta async for delta in run.stream_text(delta=True)])
        return _said(text, run.usage)


async def embeddings(task: Task) -> Said:
    embedder = Embedder(OpenAIEmbeddingModel(task.embedding_model, provider=provider(task)))
    result = await embedder.embed_documents([task.prompt, "and this"])
    return said(None, result.usage.input_tokens, 0, vectors=[list(vector) for vector in result.embeddings])


def told(error: Exception) -> Said | None:
    if isinstance(error, ModelHTTPError):
        body = error.body
        return failed(error, error.status_code, body.get("code") if isinstance(body, dict) else None)
    return None


if __name__ == "__main__":
    work(
        {
            "plain": plain,
            "stream": stream,
            "tools": tools,
            "structured": structured,
            "structured_as_tool": structured_as_tool,
            "responses": responses,
            "responses_stream": responses_stream,
            "embeddings": embeddings,
        },
        told,
    )
