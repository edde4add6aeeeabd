"""Who pays for a call: what the plan includes, then credit, then the invoice; decided once, when it is admitted."""

from typing import Any

import pytest

from farebox.domain.admission import Admitted, Ask, Caller, Refused
from farebox.domain.audit import audit_hold, audit_row
from farebox.domain.decide import decide
from farebox.domain.errors import CallError, FounderError, PaymentRequired, QuotaExceeded
from farebox.domain.ledger import Meter, Outcome, Spent, end_hold
from farebox.domain.plan import Plan, plan_in_force
from farebox.domain.prices import Price
from farebox.domain.product import Product
from farebox.domain.remedies import ONLINE, remedies_of
from farebox.domain.wallet import Grant

START_US = 1_795_424_878_000_000
NOW_US = START_US + 86_400_000_000
METER = Meter("acct", "live", START_US, START_US + 30 * 86_400_000_000)
PRICE = Price(1_000_000, 1_000_000, 1_000_000)  # a nanodollar a token, so that a charge can be counted on fingers
ASK = Ask("req_1", "digest", "/v1/generate", "m", PRICE, 100, 100, 180_000_000)
CALLER = Caller("key_1", "acct", "live", None, None, "pro", "active", START_US, customer="cus_1", has_credit=1)

CALLS = Plan("pro", usd=29, calls=10, overage_usd="0.000000300")  # 300 nanodollars a call
TOKENS = Plan("pro", usd=29, tokens=1_000, overage_usd_per_1k_tokens="0.000002")  # 2 nanodollars a token
MONEY = Plan("pro", usd=29, credit_usd="0.000001", credit_overage=True)  # 1,000 nanodollars
FULL = METER._replace(posted_calls=10, posted_tokens=1_000, posted_nanodollars=1_000)


def prepaid(plan: Plan) -> Plan:
    kept = ("usd", "calls", "tokens", "credit_usd", "overage_usd", "overage_usd_per_1k_tokens", "credit_overage")
    return Plan("pro", prepaid=True, **{name: getattr(plan, name) for name in kept})


def grant(name: str, amount: int, ends_after: int = 10**12) -> Grant:
    return Grant("acct", name, amount, 0, 0, 0, 0, NOW_US + ends_after, 0)


def admitted(plan: Plan, meter: Meter, *grants: Grant, caller: Caller = CALLER, **more: Any) -> Admitted:  # noqa: ANN401
    found = grants if caller.mode == "live" else None
    decision = decide(caller, plan, meter, None, ASK._replace(**more), NOW_US, found)
    assert isinstance(decision, Admitted), decision
    assert audit_hold(decision.hold) == []
    return decision


def refused(plan: Plan, meter: Meter, *grants: Grant, caller: Caller = CALLER) -> CallError:
    decision = decide(caller, plan, meter, None, ASK, NOW_US, grants)
    assert isinstance(decision, Refused), decision
    return decision.error


def posted(decision: Admitted, read: int = 50, written: int = 50) -> Outcome:
    outcome = end_hold(decision.hold, "post", Spent(read, 0, written), NOW_US)
    assert audit_row(decision.hold, outcome) == []
    return outcome


def paid(outcome: Outcome) -> tuple[int, int, int, str]:
    """What is included, prepaid and invoiced, and of which grants."""
    included = outcome.charge_nanodollars - outcome.prepaid_nanodollars - outcome.invoiced_nanodollars
    return included, outcome.prepaid_nanodollars, outcome.invoiced_nanodollars, outcome.spent_credit


# -- The three kinds of overage


def test_a_call_beyond_the_plans_calls_costs_its_price() -> None:
    inside = METER._replace(posted_calls=8, held_calls=1)
    assert paid(posted(admitted(CALLS, inside))) == (0, 0, 0, "")
    assert paid(posted(admitted(CALLS, inside._replace(held_calls=2)))) == (0, 0, 300, "")
    assert paid(posted(admitted(CALLS, inside, calls=3))) == (0, 0, 600, "")


def test_tokens_beyond_the_plans_cost_their_price_and_those_within_nothing() -> None:
    assert paid(posted(admitted(TOKENS, METER))) == (0, 0, 0, "")
    border = admitted(TOKENS, METER._replace(posted_tokens=930, held_tokens=10))
    assert (border.hold.included_tokens, border.hold.held_nanodollars) == (60, 2 * (200 - 60))
    assert paid(posted(border)) == (0, 0, 2 * (100 - 60), "")
    assert paid(posted(border, 30, 30)) == (0, 0, 0, "")
    assert paid(posted(admitted(TOKENS, FULL))) == (0, 0, 200, "")


def test_a_thousandth_of_a_token_price_is_rounded_up_once_a_call() -> None:
    plan = Plan("pro", usd=29, tokens=0, overage_usd_per_1k_tokens="0.000000001")
    assert paid(posted(admitted(plan, METER), 1, 0)) == (0, 0, 1, "")


def test_model_use_beyond_the_plans_credit_costs_its_price() -> None:
    assert paid(posted(admitted(MONEY, METER))) == (100, 0, 0, "")
    border = admitted(MONEY, METER._replace(posted_nanodollars=930, held_nanodollars=10))
    assert (border.hold.included_nanodollars, border.hold.held_nanodollars) == (60, 200)
    assert paid(posted(border)) == (60, 0, 40, "")
    assert paid(posted(border, 30, 20)) == (50, 0, 0, "")
    assert paid(posted(admitted(MONEY, FULL))) == (0, 0, 100, "")


@pytest.mark.parametrize("plan", [CALLS, TOKENS, MONEY], ids=["calls", "tokens", "money"])
def test_where_there_is_no_overage_the_plan_stops(plan: Plan) -> None:
    kept = {"calls": plan.calls, "tokens": plan.tokens, "credit_usd": plan.credit_usd}
    error = refused(Plan("pro", **kept), FULL, grant("a", 10**9))  # type: ignore[arg-type]
    assert type(error) is QuotaExceeded
    assert error.page == "/plan?account=acct"


def test_a_token_price_that_no_sum_could_hold_is_refused() -> None:
    with pytest.raises(FounderError, match="a thousand tokens"):
        Plan("pro", tokens=1, overage_usd_per_1k_tokens=1_001)


# -- Credit


def test_credit_pays_before_the_invoice_and_what_was_not_used_is_given_back() -> None:
    decision = admitted(TOKENS, FULL, grant("late", 500), grant("soon", 150, 5))
    assert (decision.hold.credit, decision.hold.customer) == ("soon:150 late:250", "")
    assert decision.standing.prepaid_nanodollars == 250
    assert paid(posted(decision)) == (0, 200, 0, "soon:150 late:50")
    assert paid(posted(decision, 30, 30)) == (0, 120, 0, "soon:120")


@pytest.mark.parametrize("plan", [CALLS, TOKENS, MONEY], ids=["calls", "tokens", "money"])
def test_in_a_trial_which_no_invoice_follows_only_credit_pays_for_what_is_beyond(plan: Plan) -> None:
    trying = CALLER._replace(trial_end_us=NOW_US + 1)
    error = refused(plan, FULL, caller=trying)
    assert (type(error), error.page) == (PaymentRequired, "/plan?account=acct")
    assert "when the trial is over, at 2026-" in error.detail
    assert posted(admitted(plan, FULL, grant("a", 10**6), caller=trying)).invoiced_nanodollars == 0
    admitted(plan, METER, caller=trying)
    assert posted(admitted(plan, FULL, caller=trying._replace(trial_end_us=NOW_US))).invoiced_nanodollars > 0


def test_the_invoice_gets_what_credit_does_not_cover() -> None:
    decision = admitted(TOKENS, FULL, grant("a", 150))
    assert (decision.hold.credit, decision.hold.customer) == ("a:150", "cus_1")
    assert paid(posted(decision)) == (0, 150, 50, "a:150")
    assert paid(posted(decision, 30, 30)) == (0, 120, 0, "a:120")


@pytest.mark.parametrize("plan", [CALLS, TOKENS, MONEY], ids=["calls", "tokens", "money"])
def test_a_prepaid_plan_passes_what_credit_covers_whole_and_refuses_the_rest(plan: Plan) -> None:
    needs = admitted(prepaid(plan), FULL, grant("a", 10**6)).hold.held_nanodollars
    whole = admitted(prepaid(plan), FULL, grant("a", needs))
    assert (whole.hold.credit, whole.hold.customer) == (f"a:{needs}", "")
    error = refused(prepaid(plan), FULL, grant("a", needs - 1))
    assert type(error) is PaymentRequired
    assert error.page == "/credit?account=acct"
    assert f"can come to $0.{needs:09d}".rstrip("0") in error.detail
    assert f"the account has $0.{needs - 1:09d} of credit. An owner can buy credit at /credit." in error.detail
    assert admitted(prepaid(plan), METER).hold.credit == ""


@pytest.mark.parametrize("contact", ["", "help@till.example"])
@pytest.mark.parametrize("first_usd", [0, 9])
def test_without_stripe_no_refusal_sends_anybody_to_pay(contact: str, first_usd: int) -> None:
    mine = prepaid(CALLS)
    plans = [Plan("first", usd=first_usd, calls=1), mine]
    remedies = remedies_of(Product("Till", plans=plans, contact=contact), sells=False)
    whom = contact or "the support of this service"

    def told(plan: Plan | None, caller: Caller) -> PaymentRequired:
        decision = decide(caller, plan, FULL, None, ASK, NOW_US, (), remedies)
        assert isinstance(decision, Refused)
        assert isinstance(decision.error, PaymentRequired)
        return decision.error

    error = told(mine, CALLER)
    assert error.detail.endswith(f" of credit. Nothing can be bought online here yet. Write to {whom}.")
    assert error.page == "/plan?account=acct"
    failed = f"The last payment failed. It cannot be paid online here. Write to {whom}."
    assert told(mine, CALLER._replace(state="past_due")).detail == failed
    assert told(None, CALLER._replace(grace_until_us=NOW_US)).detail == failed
    gone = told(None, CALLER).detail
    assert gone.endswith(f"online here yet. Write to {whom}." if first_usd else "Choose another plan at /plan.")


def test_with_stripe_refusals_send_to_the_pages_that_sell() -> None:
    assert remedies_of(Product("Till", contact="help@till.example"), sells=True) == ONLINE


@pytest.mark.parametrize("ending", ["void", "post_free", "expire"])
def test_a_call_without_an_answer_gives_all_its_credit_back(ending: Any) -> None:  # noqa: ANN401
    hold = admitted(TOKENS, FULL, grant("a", 150)).hold
    outcome = end_hold(hold, ending, Spent(), NOW_US)
    assert paid(outcome) == (0, 0, 0, "")


def test_a_test_key_never_touches_credit_and_is_never_invoiced() -> None:
    test = CALLER._replace(mode="test")
    for plan in (CALLS, TOKENS, MONEY, prepaid(CALLS), prepaid(TOKENS), prepaid(MONEY)):
        decision = admitted(plan, FULL._replace(name="test"), caller=test)
        assert (decision.hold.credit, decision.hold.customer) == ("", "")
        assert decision.standing.prepaid_nanodollars is None
        assert paid(posted(decision))[1:] == (0, 0, "")


def test_a_call_that_nobody_is_billed_for_needs_no_credit() -> None:
    decision = admitted(prepaid(TOKENS), FULL, is_billed=False)
    assert (decision.hold.held_nanodollars, decision.hold.credit) == (0, "")


def test_without_a_subscription_nothing_is_invoiced() -> None:
    decision = admitted(CALLS, FULL, caller=CALLER._replace(customer=""))
    assert paid(posted(decision)) == (300, 0, 0, "")
    partly = admitted(CALLS, FULL, grant("a", 100), caller=CALLER._replace(customer=""))
    assert paid(posted(partly)) == (200, 100, 0, "a:100")


def test_a_customers_own_cap_counts_what_credit_pays() -> None:
    capped = CALLER._replace(spend_cap_nanodollars=1_299)
    error = refused(CALLS, FULL, grant("a", 10**6), caller=capped)
    assert isinstance(error, QuotaExceeded)
    assert error.policy == "spend-cap"
    admitted(CALLS, FULL, grant("a", 10**6), caller=capped._replace(spend_cap_nanodollars=1_300))


# -- A payment that failed

FREE = Plan("free", calls=20)
PLANS = {plan.name: plan for plan in (FREE, CALLS)}


def test_the_free_plan_is_in_force_from_the_moment_on_at_which_the_grace_is_over() -> None:
    late = CALLER._replace(grace_until_us=NOW_US)
    assert plan_in_force(CALLER, PLANS, NOW_US) is CALLS
    assert plan_in_force(late, PLANS, NOW_US - 1) is CALLS
    assert plan_in_force(late, PLANS, NOW_US) is FREE
    assert plan_in_force(late, {"pro": CALLS}, NOW_US) is None
    assert plan_in_force(late, {}, NOW_US) is None


def test_without_a_free_plan_a_lapsed_account_is_told_to_pay() -> None:
    decision = decide(CALLER._replace(grace_until_us=NOW_US), None, METER, None, ASK, NOW_US)
    assert isinstance(decision, Refused)
    assert type(decision.error) is PaymentRequired
    assert "payment failed" in decision.error.detail
    assert decision.error.page == "/plan?account=acct"


def test_a_lapsed_account_is_not_invoiced_for_what_its_free_plan_would_charge() -> None:
    free = Plan("free", calls=10, overage_usd="0.0000003")
    late = CALLER._replace(grace_until_us=NOW_US)
    assert type(refused(free, FULL, caller=late)) is PaymentRequired
    assert admitted(free, FULL, grant("a", 300), caller=late).hold.customer == ""
