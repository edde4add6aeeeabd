"""The customer portal: what it lets people do, and sessions of it."""

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused, wanted
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.things import Thing, merged_metadata

room = Room()
KIND = "billing_portal.configuration"
PLAIN = ("active", "default_return_url", "name")


@room("POST", "/v1/billing_portal/configurations", "billing_portal.ConfigurationCreateParams")
def create_configuration(desk: Desk, given: Thing) -> Thing:
    made = desk.new(KIND, active=True, livemode=False)
    return desk.put({**_configured(made, given), "updated": made["created"]})


@room("GET", "/v1/billing_portal/configurations/{id}", "billing_portal.ConfigurationRetrieveParams")
def retrieve_configuration(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get(KIND, id_)


@room("POST", "/v1/billing_portal/configurations/{id}", "billing_portal.ConfigurationUpdateParams")
def update_configuration(desk: Desk, given: Thing, id_: str) -> Thing:
    return desk.put({**_configured(desk.get(KIND, id_), given), "updated": desk.now()})


@room("GET", "/v1/billing_portal/configurations", "billing_portal.ConfigurationListParams")
def list_configurations(desk: Desk, given: Thing) -> Thing:
    return page(desk, "/v1/billing_portal/configurations", desk.all(KIND), given, "active", "is_default")


def _configured(before: Thing, given: Thing) -> Thing:
    """A configuration with the given values; the other values of a feature stay.

    Raises:
        StripeError: customers may update their details, but no detail is named.
    """
    features = dict(before["features"])
    for name, wish in given.get("features", {}).items():
        features[name] = {**features[name], **wish}
    customer = features["customer_update"]
    customer["allowed_updates"] = customer["allowed_updates"] or []
    if customer["enabled"] and not customer["allowed_updates"]:
        raise wanted("features[customer_update][allowed_updates]")
    plain = {name: None if given[name] == "" else given[name] for name in PLAIN if name in given}
    business = {**before["business_profile"], **given.get("business_profile", {})}
    return {**before, **plain, "features": features, "business_profile": business,
            "metadata": merged_metadata(before["metadata"], given.get("metadata"))}  # fmt: skip


@room("POST", "/v1/billing_portal/sessions", "billing_portal.SessionCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    if "customer" not in given:
        raise wanted("customer")
    customer = desk.named("customer", given["customer"], "customer")
    configuration = _configuration(desk, given)
    session = desk.new("billing_portal.session", customer=customer["id"], return_url=given.get("return_url"),
                       configuration=configuration["id"], livemode=False, locale=given.get("locale"))  # fmt: skip
    desk.put({**session, "url": f"{desk.base_url}/portal/{session['id']}"})
    session = desk.get("billing_portal.session", session["id"])
    desk.emit("billing_portal.session.created", session)
    return session


def _configuration(desk: Desk, given: Thing) -> Thing:
    """Raises StripeError if none is named, as there is no dashboard here in which a default could be saved."""
    if "configuration" not in given:
        raise refused(
            "You have named no configuration, and your account has no default one in test mode: name one, or save the "
            "settings of the customer portal in the dashboard."
        )
    found = desk.named(KIND, given["configuration"], "configuration")
    if not found["active"]:
        raise refused("This portal configuration is not active.", param="configuration")
    return found
