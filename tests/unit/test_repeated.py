"""What comes of a request whose Idempotency-Key came before: the decision, over plain values."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain import apikey
from farebox.domain.admission import Answered, Earlier, Once, Refused, Standing
from farebox.domain.decide import repeated
from farebox.domain.errors import CallError, IdempotencyInFlight, IdempotencyMismatch, IdempotencyStreamed
from farebox.domain.ledger import Meter, State
from farebox.domain.plan import Plan
from farebox.web.request import Head, once_of

NOW_US = 1_800_000_000_000_000
STANDING = Standing(Plan("pro", calls=10), Meter("acct_1", "live", 0, 2 * NOW_US, posted_calls=3), NOW_US)
ONCE = Once("digest", "print", is_stream=False, ttl_us=86_400_000_000)
ANSWERED = Earlier(
    "print", "req_1", is_stream=False, expires_us=NOW_US + 1, content_type="application/json", body=b'{"text": "hi"}',
    is_open=False, state=State.POSTED,
)  # fmt: skip
OPEN = ANSWERED._replace(body=None, content_type="", is_open=True, state=None)
STREAMED = ANSWERED._replace(body=None, content_type="", is_stream=True)


def refused(earlier: Earlier, once: Once = ONCE) -> CallError:
    found = repeated(earlier, once, STANDING)
    assert isinstance(found, Refused)
    assert found.standing == STANDING
    return found.error


def once(mode: apikey.Mode = "live", path: str = "/v1/generate", body: bytes = b"{}") -> Once:
    head = Head(apikey.mint("till", mode, secrets.randbelow), "order-17", b"application/json")
    found = once_of(head, path, body, 60, is_stream=False)
    assert found is not None
    return found


def test_a_key_is_another_one_in_the_other_mode() -> None:
    assert once().id == once().id
    assert once("test").id != once("live").id


@pytest.mark.parametrize("other", [once(path="/v1/tagline"), once(body=b"{ }")], ids=["endpoint", "body"])
def test_a_key_with_another_endpoint_or_body_is_another_request(other: Once) -> None:
    assert once().fingerprint == once().fingerprint
    assert (other.id, other.fingerprint == once().fingerprint) == (once().id, False)


def test_a_key_that_never_came_is_a_new_call() -> None:
    assert repeated(None, ONCE, STANDING) is None


def test_an_answer_comes_again_as_it_was_sent_with_where_the_caller_stands_now() -> None:
    assert repeated(ANSWERED, ONCE, STANDING) == Answered("req_1", "application/json", b'{"text": "hi"}', STANDING)


def test_an_empty_answer_is_an_answer() -> None:
    assert repeated(ANSWERED._replace(body=b""), ONCE, STANDING) == Answered("req_1", "application/json", b"", STANDING)


@pytest.mark.parametrize("earlier", [ANSWERED, OPEN, STREAMED], ids=["answered", "under way", "streamed"])
def test_a_key_is_forgotten_at_the_microsecond_of_its_end(earlier: Earlier) -> None:
    assert repeated(earlier._replace(expires_us=NOW_US), ONCE, STANDING) is None
    assert repeated(earlier._replace(expires_us=NOW_US + 1), ONCE, STANDING) is not None


@pytest.mark.parametrize("earlier", [ANSWERED, OPEN, STREAMED], ids=["answered", "under way", "streamed"])
def test_another_request_under_the_same_key_is_refused_and_learns_nothing(earlier: Earlier) -> None:
    error = refused(earlier, ONCE._replace(fingerprint="other"))
    assert type(error) is IdempotencyMismatch
    assert "req_1" not in error.detail


def test_what_is_streamed_now_is_not_answered_with_what_was_none_before() -> None:
    assert type(refused(ANSWERED, ONCE._replace(is_stream=True))) is IdempotencyMismatch


def test_a_call_under_way_is_waited_for() -> None:
    error = refused(OPEN)
    assert type(error) is IdempotencyInFlight
    assert "req_1" in error.detail
    assert error.retry_after_seconds == 1


def test_a_stream_under_way_is_waited_for_as_any_call() -> None:
    assert type(refused(OPEN._replace(is_stream=True))) is IdempotencyInFlight


def test_a_stream_that_was_paid_is_not_streamed_twice_and_its_receipt_is_named() -> None:
    error = refused(STREAMED)
    assert type(error) is IdempotencyStreamed
    assert "req_1" in error.detail
    assert error.retry_after_seconds is None


@pytest.mark.parametrize("state", [State.VOIDED, State.EXPIRED, None], ids=str)
@pytest.mark.parametrize("earlier", [ANSWERED._replace(body=None), STREAMED], ids=["plain", "streamed"])
def test_a_call_that_ended_without_an_answer_frees_its_key(earlier: Earlier, state: State | None) -> None:
    assert repeated(earlier._replace(state=state), ONCE, STANDING) is None


def test_a_free_answer_without_a_message_frees_its_key() -> None:
    """It is posted and kept nothing: its customer has paid nothing, and may ask again."""
    assert repeated(ANSWERED._replace(body=None), ONCE, STANDING) is None
    assert repeated(STREAMED._replace(is_silent=True), ONCE._replace(is_stream=True), STANDING) is None


earlier_calls = st.builds(
    Earlier,
    st.sampled_from(["print", "other"]), st.just("req_1"), st.booleans(), st.sampled_from([NOW_US - 1, NOW_US + 1]),
    st.just("application/json"), st.none() | st.just(b"{}"), st.booleans(), st.none() | st.sampled_from(list(State)),
    st.booleans(),
)  # fmt: skip


@given(earlier_calls)
def test_a_new_call_is_only_made_where_none_is_under_way_and_none_was_answered(earlier: Earlier) -> None:
    if repeated(earlier, ONCE, STANDING) is None:
        is_forgotten = earlier.expires_us <= NOW_US
        assert is_forgotten or not (earlier.is_open or earlier.body is not None)
        assert is_forgotten or earlier.fingerprint == ONCE.fingerprint
        assert is_forgotten or earlier.is_silent or not (earlier.is_stream and earlier.state == State.POSTED)
