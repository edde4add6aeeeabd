"""When a mail is tried again, when it is given up, and that a sender which ends sends nothing more."""

import asyncio
import threading
from typing import Final
from unittest.mock import Mock

import pytest

from farebox.account.deliver_mail import Delivery, reason_not_to_send
from farebox.domain.people import HOUR_US, Mail
from farebox.ports.people import DueMail, MailNotSent

SECONDS_MAX: Final = 10  # no measure: only a test that hangs waits as long


def due(*, waited_us: int = 0, template: str = "confirm", link_id: str | None = None, alive: bool = True) -> DueMail:
    mail = Mail("mail_1", "ada@example.com", template, "{}", link_id, 0, waited_us, 1, None, "")
    return DueMail(mail, is_known=False, is_link_alive=alive)


def delivery(*claimed: DueMail, error: Exception | None = None) -> tuple[Delivery, Mock, Mock]:
    """A sender, its outbox with these mails in it, and the mailer."""
    outbox, mailer = Mock(), Mock()
    outbox.claim.side_effect = [*claimed, None]
    mailer.send.side_effect = error
    return Delivery(outbox, Mock(), lambda: mailer), outbox, mailer


@pytest.mark.parametrize(("hours", "is_over"), [(47, False), (49, True)])
def test_a_mail_that_cannot_be_sent_is_tried_for_two_days(hours: int, *, is_over: bool) -> None:
    sender, outbox, _ = delivery(due(waited_us=hours * HOUR_US), error=MailNotSent("busy"))
    assert sender.send_all() == 0
    assert (outbox.give_up.call_count, outbox.put_off.call_count) == ((1, 0) if is_over else (0, 1))


def test_a_mail_of_no_use_is_given_up_and_not_looked_at_again() -> None:
    sender, outbox, mailer = delivery(due(template="magic"), due(link_id="link_1", alive=False))
    assert sender.send_all() == 0
    assert mailer.send.call_count == 0
    assert [call.args for call in outbox.give_up.mock_calls] == [
        ("mail_1", "nobody has this address"), ("mail_1", "its link no longer works")
    ]  # fmt: skip


def test_a_sender_that_ends_sends_what_is_in_hand_and_nothing_after_it() -> None:
    sender, outbox, mailer = delivery(due(), due())
    mailer.send.side_effect = lambda _: sender.end()
    assert sender.send_all() == 1
    assert outbox.claim.call_count == 1
    assert mailer.close.call_count == 1


def test_what_has_had_its_time_is_forgotten_at_the_first_look_and_seldom_after_it() -> None:
    sender, outbox, _ = delivery(due())
    outbox.claim.side_effect = None
    outbox.claim.return_value = None
    outbox.forget.return_value = False
    sender._look()
    sender._look()
    assert outbox.forget.call_count == 1


def test_between_two_portions_of_what_is_forgotten_the_mails_that_are_due_are_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("farebox.account.rounds.PAUSE_SECONDS", 0)
    sender, outbox, _ = delivery(due())
    outbox.claim.side_effect = None
    outbox.claim.return_value = None
    outbox.forget.side_effect = [True, True, False]
    for _ in range(4):
        sender._look()
    assert [name for name, _, _ in outbox.mock_calls] == ["claim", "forget"] * 3 + ["claim"]


def test_the_next_portion_comes_long_before_the_next_look() -> None:
    sender, outbox, _ = delivery()
    outbox.claim.side_effect = None
    outbox.claim.return_value = None
    clean, portions = threading.Event(), iter([True, True, False])

    def forget() -> bool:
        is_more = next(portions)
        if not is_more:
            clean.set()
        return is_more

    async def run() -> None:
        running = asyncio.create_task(sender.run(look_seconds=3600))
        assert await asyncio.to_thread(clean.wait, SECONDS_MAX)
        running.cancel()

    outbox.forget.side_effect = forget
    asyncio.run(run())


@pytest.mark.parametrize("template", ["magic", "reset"])
def test_a_link_to_log_in_goes_to_persons_alone_and_one_of_a_new_address_to_strangers(template: str) -> None:
    assert reason_not_to_send(due(template=template))
    assert not reason_not_to_send(due(template=template)._replace(is_known=True))
    assert not reason_not_to_send(due(template=template)._replace(is_awaited=True))
    assert not reason_not_to_send(due(template="change"))
    assert reason_not_to_send(due(template="change")._replace(is_known=True))
