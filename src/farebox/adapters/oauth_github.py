"""GitHub, which has OAuth 2 and an API of its own instead of OpenID Connect; GitHub Enterprise has the same."""

from typing import Any, Final

from farebox.adapters.oauth_http import address, client_of, origin_of, read
from farebox.domain.people import PersonError, address_of
from farebox.domain.places import Places
from farebox.ports.proofs import Known, Trip

PUBLIC: Final = "https://github.com"
PUBLIC_API: Final = "https://api.github.com"
SCOPE: Final = "user:email"
POST: Final = "client_secret_post"


class GitHub:
    """The port `OtherService` over github.com, or a GitHub Enterprise at `base_url`."""

    label = "GitHub"

    def __init__(self, client_id: str, client_secret: str, base_url: str = PUBLIC) -> None:
        self.issuer = base_url.rstrip("/")
        self._api = PUBLIC_API if self.issuer == PUBLIC else f"{self.issuer}/api/v3"
        self._client = (client_id, client_secret)
        self._origins = frozenset({origin_of(self.issuer), origin_of(self._api)})
        self._places = Places()

    def address(self, trip: Trip) -> str:
        with self._open() as client:
            return address(client, f"{self.issuer}/login/oauth/authorize", trip)

    def known(self, trip: Trip, code: str, issuer: str) -> Known:
        del issuer  # GitHub's tokens name none to compare it with; its API was asked, and nobody else's
        with self._open() as client, self._places.take():
            client.fetch_token(
                f"{self.issuer}/login/oauth/access_token", code=code, code_verifier=trip.verifier,
                redirect_uri=trip.back, grant_type="authorization_code",
            )  # fmt: skip
            subject = read(client, f"{self._api}/user")["id"]
            addresses = read(client, f"{self._api}/user/emails")
            # A name can be given up, and be another person's tomorrow; the number stays.
            if not isinstance(subject, int) or isinstance(subject, bool):
                raise TypeError("GitHub names nobody")
            return Known(self.issuer, str(subject), _verified(addresses))

    def _open(self) -> Any:  # noqa: ANN401
        return client_of(self.label, *self._client, self._origins, scope=SCOPE, token_endpoint_auth_method=POST)


def _verified(addresses: list[dict[str, Any]]) -> str | None:
    """The primary address, if GitHub has verified it."""
    for each in addresses:
        if each.get("primary") is True and each.get("verified") is True:
            try:
                return address_of(str(each.get("email", "")))
            except PersonError:
                return None
    return None
