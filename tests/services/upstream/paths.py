"""What the fake provider serves."""

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
MODELS = "/v1/models"

SERVED = {("POST", CHAT), ("POST", RESPONSES), ("POST", EMBEDDINGS), ("GET", MODELS)}
