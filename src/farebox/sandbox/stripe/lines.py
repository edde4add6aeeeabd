"""An invoice's lines: the amount of a quantity at a price, and the period that it is for."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.rooms.meter_events import used
from farebox.sandbox.stripe.things import Thing

TIMES: Final = "\N{MULTIPLICATION SIGN}"


def cents(amount: Decimal) -> int:
    """Round to whole cents, half a cent upwards."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def amount_of(price: Thing, quantity: int) -> int:
    """The cost of a quantity, in cents; a negative quantity costs nothing."""
    count = max(quantity, 0)
    if price["billing_scheme"] != "tiered":
        return cents(Decimal(price["unit_amount_decimal"]) * count)
    total, below = Decimal(0), 0
    for tier in price["_tiers"]:
        up_to = tier["up_to"]
        is_last = up_to is None or count <= up_to
        if price["tiers_mode"] == "volume" and not is_last:
            continue
        inside = count if price["tiers_mode"] == "volume" else (count if is_last else up_to) - below
        if inside > 0 or is_last:
            total += Decimal(tier["unit_amount_decimal"]) * inside + Decimal(tier["flat_amount_decimal"])
        if is_last:
            break
        below = up_to
    return cents(total)


def line(
    desk: Desk, price: Thing | None, quantity: int, amount: int, period: tuple[int, int], **values: object
) -> Thing:
    """One line of an invoice."""
    pricing = None
    if price is not None:
        pricing = {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        }
    made = desk.new(
        "line_item",
        amount=amount,
        subtotal=amount,
        currency="usd" if price is None else price["currency"],
        quantity=quantity,
        quantity_decimal=str(quantity),
        period={"start": period[0], "end": period[1]},
        pricing=pricing,
        discountable=True,
        discount_amounts=[],
        pretax_credit_amounts=[],
        taxes=[],
        livemode=False,
    )
    return {**made, **values}


def of_item(
    desk: Desk, subscription: Thing, item: Thing, amount: int, period: tuple[int, int], **values: object
) -> Thing:
    """A line about an item of a subscription."""
    price = item["price"]
    details = {
        "invoice_item": None,
        "proration": bool(values.pop("proration", False)),
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
        "subscription_item": item["id"],
    }
    parent = {"type": "subscription_item_details", "subscription_item_details": details, "invoice_item_details": None}
    quantity = int(str(values.pop("quantity", item.get("quantity") or 0)))
    values.setdefault("description", described(desk, price, quantity))
    return line(desk, price, quantity, amount, period, parent=parent, subscription=subscription["id"],
                metadata=subscription["metadata"], **values)  # fmt: skip


def described(desk: Desk, price: Thing, quantity: int) -> str:
    product = desk.find(price["product"]) or {"name": price["product"]}
    return f"{quantity:,} {TIMES} {product['name']} ({told(price)})"


def told(price: Thing) -> str:
    """A price in words."""
    recurring = price["recurring"]
    every = "" if recurring is None else f" / {recurring['interval']}"
    if price["billing_scheme"] == "tiered":
        return f"in tiers{every}"
    exact = Decimal(price["unit_amount_decimal"]) / 100
    amount = f"{exact:,.2f}" if exact == exact.quantize(Decimal("0.01")) else format(exact.normalize(), "f")
    return f"{'$' if price['currency'] == 'usd' else price['currency'].upper() + ' '}{amount}{every}"


def is_metered(item: Thing) -> bool:
    return bool(item["price"]["recurring"]["usage_type"] == "metered")


def advance(desk: Desk, subscription: Thing, item: Thing, period: tuple[int, int]) -> Thing:
    """A line for a period that is paid for at its beginning."""
    amount = amount_of(item["price"], item["quantity"])
    return of_item(desk, subscription, item, amount, period)


def arrears(desk: Desk, subscription: Thing, item: Thing, period: tuple[int, int]) -> Thing:
    """A line for the usage of a period; until the invoice is final, it follows what is still reported."""
    made = of_item(desk, subscription, item, 0, period, quantity=0, _usage_of=subscription["customer"],
                   _price=item["price"])  # fmt: skip
    return counted(desk, made)


def counted(desk: Desk, made: Thing) -> Thing:
    """A line of usage, reckoned again by what counts now."""
    price = made.get("_price")
    if price is None:
        return made
    meter = desk.get("billing.meter", price["recurring"]["meter"])
    quantity = used(desk, meter, made["_usage_of"], made["period"]["start"], made["period"]["end"])
    amount = amount_of(price, quantity)
    return {**made, "quantity": quantity, "quantity_decimal": str(quantity), "amount": amount, "subtotal": amount,
            "description": described(desk, price, quantity)}  # fmt: skip


def share(amount: int, start: int, now: int, end: int) -> int:
    """The part of a period's price that is for the rest of it."""
    return cents(Decimal(amount) * max(end - now, 0) / max(end - start, 1))
