"""The loop that a founder writes first: FastAPI, the OpenAI SDK, a dict of keys and a count. It keeps nothing.

It is what `compare.py` measures Farebox against, and no example to follow.
"""

from collections import defaultdict
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException
from openai import APIError, OpenAI
from pydantic import BaseModel, Field

app = FastAPI()
model = OpenAI(max_retries=0, timeout=30)
limits = {"plain_key": 10**12}
used: defaultdict[str, int] = defaultdict(int)


class Prompt(BaseModel):
    prompt: str = Field(min_length=3, max_length=2_000)


@app.post("/v1/generate")
def generate(body: Prompt, x_api_key: Annotated[str, Header()]) -> dict[str, object]:
    if used[x_api_key] >= limits.get(x_api_key, 0):
        raise HTTPException(401 if x_api_key not in limits else 429)
    try:
        answer = model.chat.completions.create(
            model="gpt-4o-mini", max_tokens=400, messages=[{"role": "user", "content": body.prompt}]
        )
    except APIError as error:
        raise HTTPException(502) from error
    used[x_api_key] += 1
    tokens = answer.usage.total_tokens if answer.usage else 0
    return {"text": answer.choices[0].message.content, "tokens": tokens, "calls_used": used[x_api_key]}
