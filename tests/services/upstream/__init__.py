"""A stand-in for an OpenAI-compatible provider: a process of its own that can be told how to misbehave.

    with FakeUpstream() as upstream:
        upstream.program(Behaviour(status=429, retry_after=7))          # every call from now on
        upstream.program_next(Behaviour(fault="reset"), Behaviour())    # the next two
        prompt = "Hello [[fault:status=500]]"                           # the call with this prompt
        prompt = "Hello [[tool:weather]]"                               # calls that tool, if the request has it
        ...
        assert upstream.count() == 4

A marker wins over the queue, and the queue over the default.
"""

from tests.services.upstream.answers import (
    Answer,
    count_tokens,
    expected_answer,
    long_text,
    programmed_answer,
)
from tests.services.upstream.behaviour import FAULTS, Behaviour, Fault
from tests.services.upstream.embeddings import expected_embedding, expected_embedding_tokens
from tests.services.upstream.fake import FakeUpstream
from tests.services.upstream.paths import CHAT, EMBEDDINGS, MODELS, RESPONSES
from tests.services.upstream.provider import Call

__all__ = [
    "CHAT",
    "EMBEDDINGS",
    "FAULTS",
    "MODELS",
    "RESPONSES",
    "Answer",
    "Behaviour",
    "Call",
    "FakeUpstream",
    "Fault",
    "count_tokens",
    "expected_answer",
    "expected_embedding",
    "expected_embedding_tokens",
    "long_text",
    "programmed_answer",
]
