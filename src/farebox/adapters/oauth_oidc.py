"""OpenID Connect: any issuer that publishes where it is asked, Google among them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from farebox.adapters.oauth_http import address, client_of, origin_of, read
from farebox.adapters.oauth_kept import Kept
from farebox.domain.people import PersonError, address_of
from farebox.domain.places import Places
from farebox.ports.proofs import Known, Trip

# Algorithms that need the issuer's private key: none with which its public key, or no key at all, would do.
ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
SCOPE: Final = "openid email"
CLOCKS_OFF_SECONDS: Final = 60
SUBJECT: Final = re.compile(r"[ -~]{1,255}")


class OidcService:
    """The port `OtherService` over one issuer.

    Args:
        label: its name for people.
        issuer: its address, as its tokens have it.
        client_id: our id at the issuer.
        client_secret: our secret there.
        hosts: further servers of the issuer's own that may be asked, each with its scheme.
    """

    def __init__(self, label: str, issuer: str, client_id: str, client_secret: str, hosts: Sequence[str] = ()) -> None:
        self.label = label
        self.issuer = issuer
        self._client = (client_id, client_secret)
        self._origins = frozenset(origin_of(url) for url in (issuer, *hosts))
        self._places = Places()
        self._about: Kept[Mapping[str, Any]] = Kept()
        self._keys: Kept[KeySet] = Kept()

    def address(self, trip: Trip) -> str:
        with self._open() as client:
            return address(client, self._metadata(client)["authorization_endpoint"], trip, nonce=trip.nonce)

    def known(self, trip: Trip, code: str, issuer: str) -> Known:
        with self._open() as client:
            if issuer and issuer != self.issuer:
                raise ValueError("another issuer has sent the browser back")
            told = self._metadata(client)
            with self._places.take():
                return self._redeemed(client, told, trip, code)

    def _open(self) -> Any:  # noqa: ANN401
        return client_of(self.label, *self._client, self._origins, scope=SCOPE)

    def _metadata(self, client: Any) -> Mapping[str, Any]:  # noqa: ANN401
        """The issuer's endpoints; looked up again each hour."""
        told = self._about.now
        if told is None:
            with self._places.take():
                told = self._about.get(lambda: self._published(client))
        return told

    def _published(self, client: Any) -> Mapping[str, Any]:  # noqa: ANN401
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        told: Mapping[str, Any] = read(client, url, withhold_token=True)
        if told["issuer"] != self.issuer:
            raise ValueError(f"{url} speaks for the issuer {told['issuer']!r}, which is not {self.issuer!r}")
        if origin_of(told["authorization_endpoint"]) not in self._origins:
            raise ValueError("the browser would be sent to another host")
        return told

    def _redeemed(self, client: Any, told: Mapping[str, Any], trip: Trip, code: str) -> Known:  # noqa: ANN401
        """Who the code is of."""
        token = client.fetch_token(
            told["token_endpoint"], code=code, code_verifier=trip.verifier, redirect_uri=trip.back,
            grant_type="authorization_code",
        )  # fmt: skip
        said = self._claims(client, told, token, trip.nonce)
        subject = _subject(said["sub"])
        if "email" not in said and "userinfo_endpoint" in told:
            said = read(client, told["userinfo_endpoint"])
            if said["sub"] != subject:
                raise ValueError("the address is somebody else's")
        return Known(self.issuer, subject, _verified(said))

    def _claims(self, client: Any, told: Mapping[str, Any], token: Mapping[str, Any], nonce: str) -> dict[str, Any]:  # noqa: ANN401
        """The issuer's claims, once their signature, audience and nonce are right."""
        id_token = str(token["id_token"])
        registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)

        def ask() -> KeySet:
            return KeySet.import_key_set(read(client, told["jwks_uri"], withhold_token=True))

        try:
            found = jwt.decode(id_token, self._keys.get(ask), registry=registry)
        except (InvalidKeyIdError, BadSignatureError):  # the issuer has other keys now, under another name or none
            found = jwt.decode(id_token, self._keys.get(ask, is_new=True), registry=registry)
        wanted = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self._client[0]},
        }
        params = {"nonce": nonce, "client_id": self._client[0], "access_token": token.get("access_token")}
        claims = CodeIDToken(found.claims, found.header, wanted, params)
        claims.validate(leeway=CLOCKS_OFF_SECONDS)
        return dict(claims)


def _subject(said: object) -> str:
    """Whose token it is, as OpenID Connect allows it: who has no name would be everybody."""
    subject = str(said) if isinstance(said, int) and not isinstance(said, bool) else said
    if not isinstance(subject, str) or not SUBJECT.fullmatch(subject):
        raise ValueError("the subject is none")
    return subject


def _verified(claims: Mapping[str, Any]) -> str | None:
    """The address, if the issuer says that it has verified it."""
    is_verified = claims.get("email_verified")
    if is_verified is not True and is_verified != "true":  # some issuers send it as a text
        return None
    try:
        return address_of(str(claims.get("email", "")))
    except PersonError:
        return None
