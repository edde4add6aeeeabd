"""The one decision: may this call pass? A pure function, so that no database can disagree with another."""

from collections.abc import Sequence
from typing import Final

from farebox.domain import wallet
from farebox.domain.admission import Admitted, Answered, Ask, Caller, Cap, Earlier, Once, Refused, Standing, seconds_up
from farebox.domain.endpoints import BUILT_IN
from farebox.domain.errors import (
    AccountSuspended,
    BurstExceeded,
    CallError,
    IdempotencyInFlight,
    IdempotencyMismatch,
    IdempotencyStreamed,
    InsufficientPermissions,
    InvalidApiKey,
    PaymentRequired,
    PriceUnknown,
    QuotaExceeded,
)
from farebox.domain.ledger import Hold, Meter, State, charge_for_cost, charge_for_tokens, hold_on
from farebox.domain.money import format_usd
from farebox.domain.pages import of_account
from farebox.domain.period import iso
from farebox.domain.plan import Plan, has_lapsed
from farebox.domain.prices import worst_cost_nanodollars
from farebox.domain.rate import take
from farebox.domain.remedies import ONLINE, Remedies
from farebox.domain.wallet import Grant

NO_SUCH_KEY: Final = "This API key is not valid. Check that you copied all of it, and that it was not revoked."
NO_PRICE: Final = (None, None, None)
SIZED: Final = frozenset(BUILT_IN)
"""Where a caller says how large a call may be. At a function of the founder's, its decorator does."""
PAYMENT_FAILED: Final = "The last payment failed."


def identify(caller: Caller | None, now_us: int, endpoint: str = "") -> CallError | None:
    """Why this caller may not call at all, or not this endpoint, if one is named; None where it may."""
    if caller is None or caller.revoked_us is not None:
        return InvalidApiKey(NO_SUCH_KEY)
    if caller.expires_us is not None and caller.expires_us <= now_us:
        return InvalidApiKey("This API key has expired. Use the key that replaced it, or create a new one.")
    if caller.state == "suspended":
        return AccountSuspended("This account is suspended. Write to the service's support.")
    if endpoint and caller.scopes and endpoint not in caller.scopes.split(","):
        return InsufficientPermissions(
            f"This API key may not call {endpoint}, only {caller.scopes.replace(',', ', ')}. Use another key, or "
            "create one for this endpoint."
        )
    return None


def decide(
    caller: Caller | None, plan: Plan | None, meter: Meter, cap: Cap | None, ask: Ask, now_us: int,
    grants: Sequence[Grant] | None = None, remedies: Remedies = ONLINE,
) -> Admitted | Refused:  # fmt: skip
    """Admit a call with a hold for the most it can come to, or refuse it; a refusal changes nothing.

    Args:
        caller: who asks, or None where no key has this digest.
        plan: the caller's plan in force as the founder's file has it, or None where there is none.
        meter: the caller's meter for the period that contains `now_us`.
        cap: the key's own cap, with its meter for the same period; None where it has none.
        ask: the call.
        now_us: the ledger's clock, in microseconds.
        grants: the account's credit; None where it never had any, and for a test key.
        remedies: what callers are told to do whom money keeps from calling.
    """
    error = identify(caller, now_us, ask.endpoint)
    if error is not None or caller is None:
        return Refused(error or InvalidApiKey(NO_SUCH_KEY))
    if plan is None:
        return Refused(no_plan(caller, now_us, remedies))
    standing = Standing(plan, meter, now_us, cap, None if grants is None else wallet.balance(grants, now_us))
    if caller.state == "past_due":
        return Refused(_to_pay(caller, f"{PAYMENT_FAILED} {remedies.payment_failed}"), standing)
    if plan.is_metered_in_money and ask.price is None:
        return Refused(
            PriceUnknown(f"The price of the model {ask.model!r} is not known. Write to the service's support."),
            standing,
        )
    hold = _worst_case(caller, plan, meter, ask, now_us)
    error = _over_plan(plan, meter, hold, now_us) or _over_own(caller, meter, cap, hold, now_us)
    found = error or _payers(caller, plan, hold, ask, grants or (), remedies)
    if not isinstance(found, Hold):
        return Refused(found, standing)
    hold = found
    tat_us = meter.burst_tat_us
    if plan.burst_limit is not None:
        taken = take(plan.burst_limit, tat_us, now_us)
        if not taken.passed:
            return Refused(_over_burst(plan, taken.retry_after_us), standing)
        tat_us = taken.tat_us
    if cap is not None:
        cap = Cap(cap.calls, hold_on(cap.meter, hold, 0))
    left = None if grants is None else wallet.balance(grants, now_us) - wallet.total(hold.credit)
    return Admitted(hold, Standing(plan, hold_on(meter, hold, tat_us), now_us, cap, left))


def repeated(earlier: Earlier | None, once: Once, standing: Standing) -> Answered | Refused | None:
    """Answer or refuse a request whose Idempotency-Key came before; None where the call has to be made.

    A call that ended without an answer has cost its customer nothing, so its key is free again.
    Source: draft-ietf-httpapi-idempotency-key-header, section 2.
    """
    if earlier is None or earlier.expires_us <= standing.now_us:
        return None
    # If a function has become a stream since, its kept answer is of no use: it is not a stream.
    if earlier.fingerprint != once.fingerprint or (once.is_stream and earlier.body is not None):
        error: CallError = IdempotencyMismatch(
            "This Idempotency-Key was already used for another request. Use a new key for a new request."
        )
    elif earlier.is_open:
        error = IdempotencyInFlight(
            f"The first call with this Idempotency-Key, {earlier.call_id}, is still under way. Try again shortly.",
            retry_after_seconds=1,
        )
    elif earlier.body is not None:
        return Answered(earlier.call_id, earlier.content_type, earlier.body, standing)
    elif earlier.is_stream and earlier.state == State.POSTED and not earlier.is_silent:
        error = IdempotencyStreamed(
            f"This call was already streamed, as {earlier.call_id}; streams are not kept. Use a new Idempotency-Key."
        )
    else:
        return None
    return Refused(error, standing)


def no_plan(caller: Caller, now_us: int, remedies: Remedies = ONLINE) -> PaymentRequired:
    """The refusal of a caller who has no plan in force: it is no longer offered, or not paid for."""
    if has_lapsed(caller, now_us):
        return _to_pay(caller, f"{PAYMENT_FAILED} {remedies.payment_failed}")
    return _to_pay(caller, f"The plan '{caller.plan}' is no longer offered. {remedies.no_plan}")


def _to_pay(caller: Caller, detail: str, page: str = "/plan") -> PaymentRequired:
    error = PaymentRequired(detail)
    error.page = of_account(page, caller.account_id)
    return error


def _worst_case(caller: Caller, plan: Plan, meter: Meter, ask: Ask, now_us: int) -> Hold:
    wanted = ask.output_tokens_wanted
    output_max = plan.max_output_tokens if wanted is None else min(wanted, plan.max_output_tokens)
    output_max *= ask.answers
    if ask.output_tokens_total is not None:
        output_max = ask.output_tokens_total
    price = ask.price
    markup = plan.markup_basis_points if plan.is_metered_in_money else None
    tokens = ask.input_tokens_max + output_max
    fixed, included_tokens, per_mtok, included = 0, None, None, 0
    if plan.has_overage and caller.mode == "live" and ask.is_billed:
        fixed, included_tokens, per_mtok = _beyond(plan, meter, ask)
    held = fixed + charge_for_tokens(tokens, included_tokens, per_mtok)
    if markup is not None and price is not None:
        held += charge_for_cost(worst_cost_nanodollars(price, ask.input_tokens_max, output_max), markup)
    if plan.credit_nanodollars is not None:
        left = plan.credit_nanodollars - meter.posted_nanodollars - meter.held_nanodollars
        included = min(held, max(left, 0))
    # A row's three price columns are in the order of Price's fields.
    frozen: tuple[int | None, int | None, int | None] = NO_PRICE if price is None else price[:3]
    return Hold(
        caller.account_id, ask.call_id, caller.key_id, caller.mode, plan.name, ask.endpoint, ask.model,
        meter.period_start_us, now_us, now_us + ask.hold_ttl_us,
        ask.calls, tokens, held, ask.input_tokens_max, output_max,
        *frozen, fixed, markup, caller.cap_id, caller.cap_calls,
        "", "", included_tokens, per_mtok, included,
    )  # fmt: skip


def _beyond(plan: Plan, meter: Meter, ask: Ask) -> tuple[int, int | None, int | None]:
    """A call's own price; the tokens that are still included in it, and the price of a million beyond them.

    It depends on what was used and held when the call was admitted, and never changes after that (decision 6).
    """
    if plan.overage_nanodollars is not None and plan.calls is not None:
        over = meter.posted_calls + meter.held_calls + ask.calls - plan.calls
        return plan.overage_nanodollars * min(max(over, 0), ask.calls), None, None
    if plan.overage_per_mtok is not None and plan.tokens is not None:
        return 0, max(plan.tokens - meter.posted_tokens - meter.held_tokens, 0), plan.overage_per_mtok
    return 0, None, None


def _payers(
    caller: Caller, plan: Plan, hold: Hold, ask: Ask, grants: Sequence[Grant], remedies: Remedies
) -> Hold | PaymentRequired:
    """The hold, with who pays what the plan does not include: credit first, then the invoice; or the refusal."""
    beyond = hold.held_nanodollars - hold.included_nanodollars
    if not beyond or not ask.is_billed or caller.mode != "live":
        return hold
    credit = wallet.balance(grants, hold.admitted_us)
    trial_end_us = caller.trial_end_us
    if credit < beyond and trial_end_us is not None and hold.admitted_us < trial_end_us:
        return _is_on_trial(caller, plan, trial_end_us)
    # If the last invoice was not paid, there will be no next one.
    if credit < beyond and (plan.prepaid or has_lapsed(caller, hold.admitted_us)):
        return _lacks_credit(caller, plan, beyond, credit, remedies)
    frozen = wallet.allocate(grants, beyond, hold.admitted_us) if credit else ""
    customer = caller.customer if plan.is_invoiced and credit < beyond else ""
    return hold._replace(customer=customer, credit=frozen)


def _lacks_credit(caller: Caller, plan: Plan, beyond: int, credit: int, remedies: Remedies) -> PaymentRequired:
    most = f"This call can come to {format_usd(beyond)} beyond what plan '{plan.name}' includes this month"
    has = f"and the account has {format_usd(credit)} of credit"
    return _to_pay(caller, f"{most}, {has}. {remedies.no_credit}", remedies.credit_page)


def _is_on_trial(caller: Caller, plan: Plan, trial_end_us: int) -> PaymentRequired:
    used = f"What plan '{plan.name}' includes this month is used up"
    return _to_pay(caller, f"{used}. You can use more when the trial is over, at {iso(trial_end_us)[:19]}Z.")


def _over_plan(plan: Plan, meter: Meter, hold: Hold, now_us: int) -> QuotaExceeded | None:
    if plan.calls is not None and plan.overage_nanodollars is None:
        calls_left = plan.calls - meter.posted_calls - meter.held_calls
        if hold.held_calls > calls_left:
            return _quota("monthly", _no_more_calls(plan, plan.calls, calls_left, hold), meter, now_us)
    tokens_left = None if plan.tokens is None else plan.tokens - meter.posted_tokens - meter.held_tokens
    if tokens_left is not None and hold.held_tokens > tokens_left and plan.overage_per_mtok is None:
        what = f"Plan '{plan.name}' has {max(tokens_left, 0):,} of {plan.tokens:,} tokens left this month"
        return _quota("tokens", f"{what}, {_can_come_to(hold, f'{hold.held_tokens:,}')}", meter, now_us)
    credit = plan.credit_nanodollars
    money_left = None if credit is None else credit - meter.posted_nanodollars - meter.held_nanodollars
    if plan.credit_overage:
        return None
    if credit is not None and money_left is not None and hold.held_nanodollars > money_left:
        what = f"Plan '{plan.name}' has {format_usd(max(money_left, 0))} of {format_usd(credit)} left this month"
        return _quota("credit", f"{what}, {_can_come_to(hold, format_usd(hold.held_nanodollars))}", meter, now_us)
    return None


def _over_own(caller: Caller, meter: Meter, cap: Cap | None, hold: Hold, now_us: int) -> QuotaExceeded | None:
    """Refuse a call that is over the customer's own limits: the account's in money, the key's in calls."""
    spend_cap = caller.spend_cap_nanodollars
    if spend_cap is not None and caller.mode == "live" and hold.held_nanodollars:
        left = spend_cap - meter.posted_nanodollars - meter.held_nanodollars
        if hold.held_nanodollars > left:
            what = (
                f"This account's spend cap has {format_usd(max(left, 0))} of {format_usd(spend_cap)} left this "
                f"month, {_can_come_to(hold, format_usd(hold.held_nanodollars))}"
            )
            return _quota("spend-cap", what, meter, now_us, " An owner can change the cap at /plan.")
    if cap is not None and hold.held_calls > cap.calls_left:
        what = f"This API key's limit of {_calls(cap.calls)} a month is used up."
        return _quota("key", what, meter, now_us, " You can create a key with another limit at /keys.", page="/keys")
    return None


def _no_more_calls(plan: Plan, calls: int, left: int, hold: Hold) -> str:
    if left > 0:
        has = f"Plan '{plan.name}' has {left:,} of {_calls(calls)} left this month"
        return f"{has}, and this one counts for {hold.held_calls:,}."
    used = "and it is used up" if calls == 1 else "and they are used up"
    return f"Plan '{plan.name}' includes {_calls(calls)} a month, {used}."


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number:,} calls"


def _can_come_to(hold: Hold, most: str) -> str:
    advice = "; a shorter prompt or a lower max_tokens may fit" if hold.endpoint in SIZED else ""
    return f"and this call can come to {most}{advice}."


def _quota(
    policy: str, what: str, meter: Meter, now_us: int, advice: str = "", page: str = "/plan"
) -> QuotaExceeded:  # fmt: skip
    error = QuotaExceeded(
        f"{what} It resets at {iso(meter.period_end_us)[:19]}Z.{advice}",
        retry_after_seconds=seconds_up(meter.period_end_us - now_us),
    )
    error.policy = policy
    error.page = of_account(page, meter.account_id)
    return error


def _over_burst(plan: Plan, retry_after_us: int) -> BurstExceeded:
    seconds = seconds_up(retry_after_us)
    return BurstExceeded(
        f"Too many calls at once: plan '{plan.name}' allows {plan.burst}. Try again in {seconds} s.",
        retry_after_seconds=seconds,
    )
