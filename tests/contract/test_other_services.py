"""What another service says counts if it is true in every part, and is asked of that service alone."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc.jwk import RSAKey

from farebox.adapters import oauth_http, oauth_kept
from farebox.adapters.oauth_github import GitHub
from farebox.adapters.oauth_http import BoundedTransport, Strayed
from farebox.adapters.oauth_oidc import CLOCKS_OFF_SECONDS, OidcService
from farebox.domain.people import PersonError
from farebox.domain.places import AT_ONCE_MAX
from farebox.ports.proofs import Known, OtherService, Trip
from tests.services.issuer import CLIENT_ID, CLIENT_SECRET, FakeGitHub, FakeIssuer, Issuer
from tests.services.process import wait_until

ADA: Final = "ada@example.com"
TRIP: Final = Trip("https://till.example/oauth/it/callback", "state", "nonce", "verifier" * 8)
PUBLISHED: Final = "/.well-known/openid-configuration"
SILENT: Final = "does not answer as it should"


@pytest.fixture(scope="module")
def one_issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(one_issuer: FakeIssuer) -> FakeIssuer:
    one_issuer.be("subject-1", ADA)
    return one_issuer


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub() as github:
        yield github


def it(issuer: FakeIssuer) -> OidcService:
    return OidcService("It", issuer.url, CLIENT_ID, CLIENT_SECRET)


def known(service: OtherService, at: Issuer, trip: Trip = TRIP, said_by: str = "") -> Known:
    """Who comes back with a code."""
    query = parse_qs(urlsplit(at.agree(service.address(TRIP))).query)
    assert query["state"] == ["state"]
    return service.known(trip, query["code"][0], said_by)


# -- One that hangs


def all_but(count: int, came: Sequence[Future[Any]]) -> bool:
    return sum(one.done() for one in came) == len(came) - count


def test_an_issuer_that_hangs_is_asked_once_and_all_others_are_told(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth_kept, "OTHERS_WAIT_SECONDS", 0.01)
    service = it(issuer)
    issuer.asked.clear()
    issuer.hang(PUBLISHED)
    with ThreadPoolExecutor(12) as threads:
        came = [threads.submit(service.address, TRIP) for _ in range(12)]
        wait_until(lambda: all_but(1, came), "all but one to be told")
        issuer.goes_on.set()
    told = [str(one.exception()) for one in came if one.exception()]
    assert [SILENT in one for one in told] == [True] * 11
    assert service.address(TRIP), "it answers by now"
    assert issuer.asked == [PUBLISHED]


@pytest.mark.parametrize(("seconds", "times_asked"), [(oauth_kept.FAILED_SECONDS, 1), (0, 3)])
def test_an_issuer_that_has_failed_is_left_alone_for_some_seconds(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch, seconds: float, times_asked: int
) -> None:
    monkeypatch.setattr(oauth_kept, "FAILED_SECONDS", seconds)
    service = it(issuer)
    issuer.about = {"issuer": "https://evil.example"}
    issuer.asked.clear()
    for _ in range(3):
        with pytest.raises(PersonError, match=SILENT):
            service.address(TRIP)
    assert issuer.asked == [PUBLISHED] * times_asked


@pytest.mark.parametrize("name", ["issuer", "github"])
def test_few_wait_for_a_service_that_hangs_at_the_code(name: str, issuer: FakeIssuer, github: FakeGitHub) -> None:
    at, service = (issuer, it(issuer)) if name == "issuer" else (github, hub(github))
    service.address(TRIP)
    at.asked.clear()
    at.hang("/token" if name == "issuer" else "/login/oauth/access_token")
    with ThreadPoolExecutor(12) as threads:
        came = [threads.submit(service.known, TRIP, "code", "") for _ in range(12)]
        wait_until(lambda: all_but(AT_ONCE_MAX, came), "all others to be told")
        assert service.address(TRIP), "others can set out all the while"
        at.goes_on.set()
    assert [SILENT in str(one.exception()) for one in came] == [True] * 12
    assert at.asked == [at.hangs_at] * AT_ONCE_MAX


# -- OpenID Connect


def test_an_issuer_says_who_somebody_is_and_a_code_is_good_once(issuer: FakeIssuer) -> None:
    assert known(it(issuer), issuer) == Known(issuer.url, "subject-1", ADA)
    for code in ("", "x"):
        with pytest.raises(PersonError, match=SILENT):
            it(issuer).known(TRIP, code, "")


@pytest.mark.parametrize("part", ["verifier", "back", "nonce"])
def test_a_code_of_another_log_in_is_not_redeemed(issuer: FakeIssuer, part: str) -> None:
    with pytest.raises(PersonError, match=SILENT):
        known(it(issuer), issuer, TRIP._replace(**{part: f"{getattr(TRIP, part)}-2"}))


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another log-in"}, {"nonce": None}, {"iss": "https://evil.example"}, {"iss": None},
        {"aud": "another client"}, {"aud": ["another client"]}, {"aud": None}, {"exp": 1}, {"exp": None},
        {"sub": None}, {"aud": [CLIENT_ID, "another"], "azp": "another"}, {"iat": 4_000_000_000},
        {"at_hash": "of another token"},
    ],
    ids=str,
)  # fmt: skip
def test_a_token_that_is_wrong_in_one_part_says_nothing(issuer: FakeIssuer, claims: dict[str, Any]) -> None:
    issuer.claims |= claims
    with pytest.raises(PersonError, match=SILENT):
        known(it(issuer), issuer)


def test_a_token_is_over_when_its_time_is_but_for_clocks_that_differ(issuer: FakeIssuer) -> None:
    issuer.claims["exp"] = int(time.time()) - CLOCKS_OFF_SECONDS // 2
    assert known(it(issuer), issuer).email == ADA
    issuer.claims["exp"] = int(time.time()) - 2 * CLOCKS_OFF_SECONDS
    with pytest.raises(PersonError, match=SILENT):
        known(it(issuer), issuer)


@pytest.mark.parametrize("trick", ["another key", "HS256 with the public key", "none", "another kid"])
def test_a_token_that_the_issuer_has_not_signed_says_nothing(issuer: FakeIssuer, trick: str) -> None:
    match trick:
        case "another key":
            issuer.signs_with = RSAKey.generate_key(2048)
        case "another kid":
            issuer.signs_with, issuer.header = RSAKey.generate_key(2048), {"alg": "RS256", "kid": "two"}
        case "HS256 with the public key":
            issuer.header = {"alg": "HS256", "kid": "one"}
        case _:
            issuer.header = {"alg": "none", "kid": "one"}
    with pytest.raises(PersonError, match=SILENT):
        known(it(issuer), issuer)


def test_a_token_may_have_more_in_its_head_than_we_know(issuer: FakeIssuer) -> None:
    issuer.header |= {"x-of-the-issuer": "more"}
    assert known(it(issuer), issuer).email == ADA


def test_an_issuer_that_has_new_keys_is_asked_for_them(issuer: FakeIssuer) -> None:
    service, old = it(issuer), issuer.key
    assert known(service, issuer).email == ADA
    issuer.key = issuer.signs_with = RSAKey.generate_key(2048, {"kid": "two", "use": "sig", "alg": "RS256"})
    issuer.header = {"alg": "RS256", "kid": "two"}
    issuer.asked.clear()
    assert known(service, issuer).email == ADA
    assert issuer.asked == ["/token", "/jwks"], "where it is asked has been kept"
    issuer.key = old


def test_an_issuer_that_has_a_new_key_under_the_old_name_or_none_is_asked_for_it(issuer: FakeIssuer) -> None:
    service, old = it(issuer), issuer.key
    for number in range(2):
        issuer.key = issuer.signs_with = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        assert known(service, issuer).email == ADA, number
    issuer.header = {"alg": "RS256"}
    for number in range(2):
        issuer.key = issuer.signs_with = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"})
        assert known(service, issuer).email == ADA, number
    issuer.key = old


@pytest.mark.parametrize("subject", ["", "é", "a\n", "\ud800", "x" * 256, True, [], {}, 1.5], ids=repr)
def test_a_subject_that_is_none_is_nobody(issuer: FakeIssuer, subject: object) -> None:
    issuer.claims["sub"] = subject
    with pytest.raises(PersonError, match=SILENT):
        known(it(issuer), issuer)


def test_what_is_nested_without_end_is_no_answer(issuer: FakeIssuer) -> None:
    issuer.page = b"[" * 100_000
    with pytest.raises(PersonError, match=SILENT):
        it(issuer).address(TRIP)


@pytest.mark.parametrize(
    "about",
    [
        {"issuer": "https://evil.example"}, {"authorization_endpoint": "https://evil.example/authorize"},
        {"token_endpoint": "http://127.0.0.1:9/token"}, {"jwks_uri": "http://169.254.169.254/latest"},
        {"jwks_uri": "file:///etc/passwd"}, {"token_endpoint": None}, {"jwks_uri": "{url}/redirects"},
        {"jwks_uri": "{url}@evil.example/jwks"},
    ],
    ids=str,
)  # fmt: skip
def test_no_host_but_the_issuers_is_asked_wherever_its_page_leads(issuer: FakeIssuer, about: dict[str, Any]) -> None:
    issuer.about = {name: value.replace("{url}", issuer.url) if value else value for name, value in about.items()}
    with pytest.raises(PersonError, match=SILENT):
        known(it(issuer), issuer)


def test_a_host_that_answers_is_asked_nothing_where_it_is_not_the_issuers(issuer: FakeIssuer) -> None:
    """It would be told the client's secret, and the code."""
    issuer.be("subject-1", None)
    with FakeIssuer() as other:
        for part in ("token_endpoint", "jwks_uri", "userinfo_endpoint"):
            issuer.about = {part: f"{other.url}/x"}
            with pytest.raises(PersonError, match=SILENT):
                known(it(issuer), issuer)
        assert other.asked == []


def test_an_answer_without_end_is_not_read_to_its_end(issuer: FakeIssuer) -> None:
    issuer.about = {"more": "x" * (2 << 20)}
    with pytest.raises(PersonError, match=SILENT):
        known(it(issuer), issuer)


def test_an_answer_that_comes_too_slowly_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def parts() -> Iterator[bytes]:
        for part in (b"{", b"}"):
            time.sleep(0.02)
            yield part

    monkeypatch.setattr(oauth_http, "SECONDS_MAX", 0.01)
    transport = BoundedTransport(["https://login.example:443"])
    monkeypatch.setattr(transport, "_inner", httpx2.MockTransport(lambda _: httpx2.Response(200, content=parts())))
    with pytest.raises(Strayed, match="too slow"):
        transport.handle_request(httpx2.Request("GET", "https://login.example/token"))


def test_an_issuer_that_is_not_there_is_told_in_a_sentence() -> None:
    with pytest.raises(PersonError, match=SILENT):
        OidcService("It", "http://127.0.0.1:9", CLIENT_ID, CLIENT_SECRET).address(TRIP)


def test_an_address_that_only_the_userinfo_has_is_the_same_persons_or_none(issuer: FakeIssuer) -> None:
    issuer.be("subject-1", None)
    issuer.userinfo = {"sub": "subject-2", "email": ADA, "email_verified": True}
    with pytest.raises(PersonError, match=SILENT):
        known(it(issuer), issuer)
    for is_verified in (False, True):
        issuer.userinfo = {"sub": "subject-1", "email": ADA, "email_verified": is_verified}
        assert known(it(issuer), issuer).email == (ADA if is_verified else None)


def test_an_answer_that_another_issuer_sent_back_is_not_taken(issuer: FakeIssuer) -> None:
    with pytest.raises(PersonError, match=SILENT):
        known(it(issuer), issuer, said_by="https://evil.example")
    assert known(it(issuer), issuer, said_by=issuer.url).email == ADA


@pytest.mark.parametrize("is_verified", [False, None, "false", "yes", 1, 1.5, [], {}], ids=repr)
def test_an_address_that_the_issuer_has_not_verified_is_none(issuer: FakeIssuer, is_verified: object) -> None:
    issuer.be("subject-1", ADA, is_verified=is_verified)
    assert known(it(issuer), issuer) == Known(issuer.url, "subject-1", None)


@pytest.mark.parametrize("email", ["not an address", "ada@example.com\r\nBcc: eve@example.com", "", "a@b@c"])
def test_what_is_no_address_is_none_though_the_issuer_has_verified_it(issuer: FakeIssuer, email: str) -> None:
    issuer.be("subject-1", email)
    assert known(it(issuer), issuer).email is None


# -- GitHub


def hub(github: FakeGitHub) -> GitHub:
    return GitHub(CLIENT_ID, CLIENT_SECRET, github.url)


def test_github_says_a_number_and_the_verified_primary_address(github: FakeGitHub) -> None:
    github.be(7, ("second@example.com", False, True), (ADA, True, True))
    assert known(hub(github), github) == Known(github.url, "7", ADA)


@pytest.mark.parametrize("part", ["verifier", "back"])
def test_a_code_of_another_log_in_is_not_redeemed_at_github(github: FakeGitHub, part: str) -> None:
    github.be(7, (ADA, True, True))
    with pytest.raises(PersonError, match=SILENT):
        known(hub(github), github, TRIP._replace(**{part: f"{getattr(TRIP, part)}-2"}))


@pytest.mark.parametrize(
    "addresses", [[], [(ADA, True, False)], [(ADA, False, True)], [("not an address", True, True)]], ids=str
)
def test_an_address_that_github_has_not_verified_or_that_is_not_the_primary_one_is_none(
    github: FakeGitHub, addresses: list[tuple[str, bool, bool]]
) -> None:
    github.be(7, *addresses)
    assert known(hub(github), github) == Known(github.url, "7", None)


@pytest.mark.parametrize(
    ("user", "addresses"), [({}, []), ({"id": "7"}, []), ([], []), (None, []), ({"id": True}, []), ({"id": 7}, ["x"])]
)
def test_what_github_never_says_breaks_nothing(github: FakeGitHub, user: object, addresses: object) -> None:
    github.user, github.addresses = user, addresses
    with pytest.raises(PersonError, match=SILENT):
        known(hub(github), github)


def test_the_public_github_is_asked_at_its_own_two_hosts() -> None:
    address = GitHub(CLIENT_ID, CLIENT_SECRET).address(TRIP)
    assert address.startswith("https://github.com/login/oauth/authorize?")
    query = parse_qs(urlsplit(address).query)
    assert (query["scope"], query["code_challenge_method"]) == (["user:email"], ["S256"])
