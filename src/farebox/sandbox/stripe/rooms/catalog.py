"""What is sold: products, prices, and plans as prices were once called."""

from decimal import Decimal

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused, wanted
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.things import Thing, merged_metadata

room = Room()
PRODUCT_PLAIN = ("active", "description", "images", "marketing_features", "name", "shippable", "statement_descriptor",
                 "tax_code", "unit_label", "url", "default_price")  # fmt: skip


@room("POST", "/v1/products", "ProductCreateParams")
def create_product(desk: Desk, given: Thing) -> Thing:
    product = desk.new("product", active=True, type="service", images=[], marketing_features=[], livemode=False)
    product = _product_of(product, given)
    if "id" in given:
        if desk.find(given["id"]) is not None:
            raise refused("Product already exists.", code="resource_already_exists", param="id")
        product["id"] = given["id"]
    product["updated"] = product["created"]
    desk.put(product)
    desk.emit("product.created", product)
    if "default_price_data" in given:
        price = create_price(desk, {**given["default_price_data"], "product": product["id"]})
        product = desk.put({**product, "default_price": price["id"]})
    return product


def _product_of(product: Thing, given: Thing) -> Thing:
    plain = {name: None if given[name] == "" else given[name] for name in PRODUCT_PLAIN if name in given}
    return {**product, **plain, "metadata": merged_metadata(product["metadata"], given.get("metadata"))}


@room("GET", "/v1/products/{id}", "ProductRetrieveParams")
def retrieve_product(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("product", id_)


@room("POST", "/v1/products/{id}", "ProductUpdateParams")
def update_product(desk: Desk, given: Thing, id_: str) -> Thing:
    product = desk.get("product", id_)
    return desk.update(product, "product.updated", **{**_product_of(product, given), "updated": desk.now()})


@room("DELETE", "/v1/products/{id}", None)
def delete_product(desk: Desk, _given: Thing, id_: str) -> Thing:
    product = desk.get("product", id_)
    if any(price["product"] == id_ for price in desk.all("price")):
        raise refused("This product cannot be deleted because it has one or more user-created prices.")
    desk.emit("product.deleted", product)
    return desk.delete(product)


@room("GET", "/v1/products", "ProductListParams")
def list_products(desk: Desk, given: Thing) -> Thing:
    products = desk.all("product")
    if "ids" in given:
        products = [product for product in products if product["id"] in given["ids"]]
    return page(desk, "/v1/products", products, given, "active", "url", "shippable")


# -- prices


@room("POST", "/v1/prices", "PriceCreateParams")
def create_price(desk: Desk, given: Thing) -> Thing:
    if "product_data" in given:
        product = create_product(desk, given["product_data"])["id"]
    elif "product" in given:
        product = desk.named("product", given["product"], "product")["id"]
    else:
        raise wanted("product")
    price = desk.new(
        "price",
        active=given.get("active", True),
        currency=given["currency"].lower(),
        product=product,
        metadata=merged_metadata({}, given.get("metadata")),
        nickname=given.get("nickname"),
        tax_behavior=given.get("tax_behavior", "unspecified"),
        livemode=False,
        **_amount(given),
        **_recurring(desk, given),
    )
    price = desk.put({**price, "lookup_key": _lookup_key(desk, given)})
    desk.emit("price.created", price)
    return price


def _amount(given: Thing) -> Thing:
    tiers = given.get("tiers")
    if given.get("billing_scheme") == "tiered" or tiers:
        if not tiers or "tiers_mode" not in given:
            raise wanted("tiers" if not tiers else "tiers_mode")
        return {
            "billing_scheme": "tiered",
            "tiers_mode": given["tiers_mode"],
            "_tiers": [_tier(tier) for tier in tiers],
        }
    if ("unit_amount" in given) == ("unit_amount_decimal" in given):
        raise refused("You must provide exactly one of `unit_amount` and `unit_amount_decimal`.", param="unit_amount")
    exact = Decimal(str(given.get("unit_amount_decimal", given.get("unit_amount"))))
    return {"billing_scheme": "per_unit", **_exactly(exact, "unit_amount")}


def _exactly(amount: Decimal, name: str) -> Thing:
    """An amount in cents, and as a decimal; with parts of a cent, only as a decimal.

    Raises:
        StripeError: it is negative, or finer than Stripe can tell.
    """
    places = -int(amount.normalize().as_tuple().exponent)
    if amount < 0 or places > 12:  # noqa: PLR2004
        raise refused(
            f"Invalid decimal: {amount:f}; must be at least zero, with at most 12 decimal places.",
            code="parameter_invalid_decimal",
            param=f"{name}_decimal",
        )
    is_whole = amount == amount.to_integral_value()
    return {name: int(amount) if is_whole else None, f"{name}_decimal": format(amount.normalize(), "f")}


def _tier(given: Thing) -> Thing:
    up_to = None if given["up_to"] == "inf" else int(given["up_to"])
    unit = Decimal(str(given.get("unit_amount_decimal", given.get("unit_amount", 0))))
    flat = Decimal(str(given.get("flat_amount_decimal", given.get("flat_amount", 0))))
    return {"up_to": up_to, **_exactly(unit, "unit_amount"), **_exactly(flat, "flat_amount")}


def _recurring(desk: Desk, given: Thing) -> Thing:
    recurring = given.get("recurring")
    if recurring is None:
        return {"type": "one_time", "recurring": None}
    usage_type, meter = recurring.get("usage_type", "licensed"), recurring.get("meter")
    if (usage_type == "metered") != (meter is not None):
        raise refused("A metered price needs a meter, and only a metered one.", param="recurring[meter]")
    if meter is not None and desk.named("billing.meter", meter, "recurring[meter]")["status"] != "active":
        raise refused("The meter is not active.", param="recurring[meter]")
    return {
        "type": "recurring",
        "recurring": {
            "interval": recurring["interval"],
            "interval_count": recurring.get("interval_count", 1),
            "meter": meter,
            "trial_period_days": None,
            "usage_type": usage_type,
        },
    }


def _lookup_key(desk: Desk, given: Thing) -> str | None:
    """The lookup key of a new price. Only one price has it; an older one gives it up if the request says so."""
    key = given.get("lookup_key")
    if not key:
        return None
    for other in desk.all("price"):
        if other["lookup_key"] == key:
            if not given.get("transfer_lookup_key"):
                raise refused(
                    f"A price (`{other['id']}`) already uses that lookup key.",
                    code="resource_already_exists",
                    param="lookup_key",
                )
            desk.update(other, "price.updated", lookup_key=None)
    return str(key)


@room("GET", "/v1/prices/{id}", "PriceRetrieveParams")
def retrieve_price(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("price", id_)


@room("POST", "/v1/prices/{id}", "PriceUpdateParams")
def update_price(desk: Desk, given: Thing, id_: str) -> Thing:
    price = desk.get("price", id_)
    new: Thing = {name: given[name] for name in ("active", "nickname", "tax_behavior") if name in given}
    new["metadata"] = merged_metadata(price["metadata"], given.get("metadata"))
    if "lookup_key" in given and given["lookup_key"] != price["lookup_key"]:
        new["lookup_key"] = _lookup_key(desk, given)
    return desk.update(price, "price.updated", **new)


@room("GET", "/v1/prices", "PriceListParams")
def list_prices(desk: Desk, given: Thing) -> Thing:
    prices = desk.all("price")
    if "lookup_keys" in given:
        prices = [price for price in prices if price["lookup_key"] in given["lookup_keys"]]
    for name, value in given.get("recurring", {}).items():
        prices = [price for price in prices if (price["recurring"] or {}).get(name) == value]
    return page(desk, "/v1/prices", prices, given, "active", "product", "type", "currency")


# -- plans: what prices were before 2019; items still have one


def plan_of(price: Thing, desk: Desk) -> Thing:
    recurring = price["recurring"] or {
        "interval": "month",
        "interval_count": 1,
        "usage_type": "licensed",
        "meter": None,
    }
    same = ("id", "active", "created", "currency", "metadata", "nickname", "product", "billing_scheme", "tiers_mode")
    return {
        **desk.new("plan"),
        **{name: price[name] for name in same},
        **{name: recurring[name] for name in ("interval", "interval_count", "usage_type", "meter")},
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "livemode": False,
    }


@room("POST", "/v1/plans", "PlanCreateParams")
def create_plan(desk: Desk, given: Thing) -> Thing:
    product = given.get("product", {})
    recurring = {name: given[name] for name in ("interval", "interval_count", "usage_type", "meter") if name in given}
    of = {"product_data": product} if isinstance(product, dict) else {"product": product}
    price = create_price(desk, {**of, "currency": given["currency"], "unit_amount": given.get("amount", 0),
                                "recurring": recurring})  # fmt: skip
    plan = plan_of(price, desk)
    desk.emit("plan.created", plan)
    return plan


@room("POST", "/v1/plans/{id}", "PlanUpdateParams")
def update_plan(desk: Desk, given: Thing, id_: str) -> Thing:
    before = plan_of(desk.get("price", id_), desk)
    after = plan_of(
        update_price(desk, {name: given[name] for name in ("active", "metadata") if name in given}, id_), desk
    )
    desk.emit("plan.updated", after, {"metadata": before["metadata"]})
    return after


@room("DELETE", "/v1/plans/{id}", None)
def delete_plan(desk: Desk, _given: Thing, id_: str) -> Thing:
    plan = plan_of(desk.get("price", id_), desk)
    desk.emit("plan.deleted", plan)
    return {**desk.delete(desk.get("price", id_)), "object": "plan"}
