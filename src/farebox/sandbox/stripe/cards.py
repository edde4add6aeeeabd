"""Cards that only exist in tests, and how each of them behaves."""

from typing import Final, NamedTuple


class Card(NamedTuple):
    """`charge` and `later` say how a payment ends, with its owner present and without: 'ok', 'action' or a code."""

    brand: str
    last4: str
    charge: str = "ok"
    later: str = "ok"
    attach: str = "ok"
    dispute: str = ""
    """The reason, such as 'fraudulent', with which a payment that went well is disputed afterwards."""
    settles: str = ""
    """How a bank debit ends, some time after the money was promised: 'ok' or 'failed'."""
    is_debit: bool = False


def _declined(last4: str, code: str) -> Card:
    return Card("visa", last4, code, code, code)


CARDS: Final[dict[str, Card]] = {
    "visa": Card("visa", "4242"),
    "visa_debit": Card("visa", "5556"),
    "mastercard": Card("mastercard", "4444"),
    "amex": Card("amex", "8431"),
    "bypassPending": Card("visa", "0077"),
    "chargeCustomerFail": Card("visa", "0341", "generic_decline", "generic_decline"),
    "chargeDeclined": _declined("0002", "generic_decline"),
    "visa_chargeDeclined": _declined("0002", "generic_decline"),
    "chargeDeclinedInsufficientFunds": _declined("9995", "insufficient_funds"),
    "visa_chargeDeclinedInsufficientFunds": _declined("9995", "insufficient_funds"),
    "chargeDeclinedLostCard": _declined("9987", "lost_card"),
    "visa_chargeDeclinedLostCard": _declined("9987", "lost_card"),
    "chargeDeclinedStolenCard": _declined("9979", "stolen_card"),
    "visa_chargeDeclinedStolenCard": _declined("9979", "stolen_card"),
    "chargeDeclinedExpiredCard": _declined("0069", "expired_card"),
    "chargeDeclinedIncorrectCvc": _declined("0127", "incorrect_cvc"),
    "chargeDeclinedProcessingError": _declined("0119", "processing_error"),
    "authenticationRequired": Card("visa", "3184", "action", "authentication_required", "action"),
    "authenticationRequiredOnSetup": Card("visa", "3155", "action", "ok", "action"),
    "authenticationRequiredSetupForOffSession": Card("visa", "3155", "action", "ok", "action"),
    "threeDSecureRequired": Card("visa", "3063", "action", "authentication_required", "action"),
    "threeDSecure2Required": Card("visa", "3220", "action", "action", "ok"),
    "createDispute": Card("visa", "0259", dispute="fraudulent"),
    "createDisputeProductNotReceived": Card("visa", "2685", dispute="product_not_received"),
    "createDisputeInquiry": Card("visa", "1976", dispute="warning"),
    # These are the stand-in's own: Stripe has no card that works once and is declined at the renewal.
    "failsLater": Card("visa", "0055", "ok", "insufficient_funds"),
    "debit": Card("sepa_debit", "3201", settles="ok", is_debit=True),
    "debitFails": Card("sepa_debit", "3202", settles="failed", is_debit=True),
}
IBANS: Final = {
    "AT611904300234573201": "debit",
    "AT321904300235473204": "debit",
    "IT60X0542811101000000123456": "debitFails",
}

MESSAGES: Final = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "lost_card": "Your card was declined.",
    "stolen_card": "Your card was declined.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}
OWN_CODES: Final = frozenset({"expired_card", "incorrect_cvc", "processing_error", "authentication_required"})
"""Declines whose code is the error's own; the others are `card_declined`."""


def named(token: str) -> str | None:
    """The card that a token such as `pm_card_visa` or `tok_visa` stands for, by its name here."""
    for prefix in ("pm_card_", "tok_"):
        name = token.removeprefix(prefix)
        if name != token and name in CARDS:
            return name
    return None


def numbered(number: str) -> str | None:
    """The card with a number, by its last four digits."""
    last4 = number.replace(" ", "")[-4:]
    return next((name for name, card in CARDS.items() if card.last4 == last4 and not card.is_debit), None)
