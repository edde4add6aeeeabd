"""`FAREBOX_STRIPE_TAX=on`: what a buyer pays on Stripe's page, and what their invoice's page says of it."""

from pathlib import Path

from tests.api.place import Place
from tests.api.playground import told
from tests.api.shop import Shop
from tests.api.test_buying import APP, SECRET, Buyer, Market
from tests.services.mail import MailServer
from tests.services.process import wait_until
from tests.services.stripe import StripeStandin, make_known


def test_a_plan_is_taxed_and_the_invoice_says_what_the_tax_was(tmp_path: Path) -> None:
    with StripeStandin(tmp_path) as stripe, MailServer() as server:
        shop = Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", None, APP)
        shop.settings |= {"STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url}
        shop.farebox("stripe", "sync", "--yes")
        stripe.client().v1.tax.settings.update({"head_office": {"address": {"country": "US", "state": "NY"}}})
        settings = {
            "SMTP_URL": server.url, "FAREBOX_PUBLIC_URL": "https://till.example",
            "FAREBOX_TRUSTED_PROXIES": "127.0.0.1", "FAREBOX_STRIPE_TAX": "on",
        }  # fmt: skip
        with shop.served(workers=1, STRIPE_WEBHOOK_SECRET=SECRET, **settings) as served:
            make_known(stripe.path, f"{served.url}/stripe/webhook", SECRET)
            buyer = Buyer(Market(Place(shop, served, server), stripe))
            buyer.browser.get(buyer.pay(buyer.checkout("/plan/buy", "pro")))
            [invoice] = stripe.client().v1.invoices.list().data
            wait_until(lambda: buyer.browser.get(f"/invoices/{invoice.id}").status == 200, "the invoice to be told")
            page = told(buyer.browser.get(f"/invoices/{invoice.id}"))
    assert "Taxes $2.90 Total $31.90" in page, page
