"""The endpoints that Farebox has built in, and which of them a founder sells."""

import difflib
from typing import Final

from farebox.domain.errors import FounderError

GENERATE: Final = "/v1/generate"
CHAT: Final = "/v1/chat/completions"
EMBEDDINGS: Final = "/v1/embeddings"
BUILT_IN: Final = (GENERATE, CHAT, "/v1/responses", EMBEDDINGS)
ALL: Final = ", ".join(BUILT_IN)


def served_endpoints(named: object, *, has_embedding: bool) -> tuple[str, ...]:
    """Those of the built-in endpoints that are served: the ones that the founder names, all where none are named.

    Raises:
        FounderError: it is no list of them, or names one that cannot answer.
    """
    if named is None:
        return BUILT_IN
    if not isinstance(named, list | tuple | set | frozenset):
        raise FounderError(f'endpoints has to be a list, as in endpoints=["{CHAT}"], or [] for none, not {named!r}.')
    for path in named:
        if path not in BUILT_IN:
            near = difflib.get_close_matches(str(path), BUILT_IN, 1)
            told = f"did you mean {near[0]!r}?" if near else f"they are {ALL}."
            raise FounderError(f"endpoints has {path!r}, which is none of the built-in endpoints; {told}")
    if EMBEDDINGS in named and not has_embedding:
        raise FounderError(
            f"endpoints has {EMBEDDINGS!r}, which needs a model of its own; add one, as "
            'embedding_model="openai:text-embedding-3-small".'
        )
    return tuple(path for path in BUILT_IN if path in named)
