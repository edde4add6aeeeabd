"""An agent of another library. It asks the model as often as it likes, and all of it is paid from the one call."""

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from farebox import Call, Farebox, Plan

STOCK = {"mug": 12, "poster": 0, "lamp": 3}

app = Farebox("Shop Clerk", model="openai:gpt-4o-mini", plans=[Plan("free", calls=20), Plan("pro", usd=29, calls=500)])


class Reply(BaseModel):
    text: str


clerk = Agent(system_prompt="You are a shop's clerk. Look up what there is before you promise it.")


@clerk.tool_plain
def in_stock(item: str) -> int:
    """How many of an item there are."""
    return STOCK.get(item, 0)


@app.paid(max_input_tokens=20_000, max_output_tokens=4_000)
async def answer(call: Call, question: str) -> Reply:
    """Answer a question about the shop."""
    model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(openai_client=call.openai))
    done = await clerk.run(question, model=model)
    return Reply(text=done.output)
