"""Stripe Tax: whether it is set up. The taxes are reckoned in `billing`."""

from typing import Final

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused
from farebox.sandbox.stripe.room import Room
from farebox.sandbox.stripe.shelf import set_setting, setting
from farebox.sandbox.stripe.things import Thing

room = Room()
STORED: Final = "tax_settings"


@room("GET", "/v1/tax/settings", "tax.SettingsRetrieveParams")
def retrieve(desk: Desk, _given: Thing) -> Thing:
    settings = desk.new("tax.settings", livemode=False)
    kept = setting(desk.db, STORED, {})
    settings["defaults"] = {**settings["defaults"], "provider": "stripe", **kept.get("defaults", {})}
    settings["head_office"] = _office(kept.get("head_office"))
    if settings["head_office"] is None:
        details = {"active": None, "pending": {"missing_fields": ["head_office"]}}
        return {**settings, "status": "pending", "status_details": details}
    return {**settings, "status": "active", "status_details": {"active": {}, "pending": None}}


@room("POST", "/v1/tax/settings", "tax.SettingsUpdateParams")
def update(desk: Desk, given: Thing) -> Thing:
    kept = setting(desk.db, STORED, {})
    set_setting(desk.db, STORED, {name: {**kept.get(name, {}), **given.get(name, {})}
                                  for name in ("defaults", "head_office") if name in {**kept, **given}})  # fmt: skip
    return retrieve(desk, {})


def check_set_up(desk: Desk) -> None:
    """Raises StripeError if the location of the account's business is not set."""
    if retrieve(desk, {})["status"] != "active":
        raise refused(
            "Stripe Tax is not set up in this account: say where your business is before you have taxes reckoned.",
            code="stripe_tax_inactive",
        )


def _office(kept: Thing | None) -> Thing | None:
    names = ("city", "country", "line1", "line2", "postal_code", "state")
    return kept and {"address": {**dict.fromkeys(names), **kept["address"]}}
