"""Settings → the reporting of usage to Stripe. Stripe's library is loaded when there is something to report."""

from dataclasses import dataclass
from functools import cache

from farebox.account.check_usage import UsageCheck
from farebox.account.report_usage import UsageReport
from farebox.ports.money import UsageMeter
from farebox.settings import Settings
from farebox.store.database import Database
from farebox.store.money.usage_checks import StoredUsageChecks
from farebox.store.money.usage_outbox import StoredUsageOutbox


@dataclass(frozen=True, slots=True)
class Reporting:
    """The sender of one process, with its connections."""

    report: UsageReport
    outbox: StoredUsageOutbox
    checks: StoredUsageChecks

    def close(self) -> None:
        self.outbox.close()
        self.checks.close()


def reporting_of(settings: Settings, database: Database) -> Reporting | None:
    """The sender; None where there is no Stripe to report to."""
    secret = settings.stripe_secret_key
    if secret is None:
        return None
    key, api_base = secret.get_secret_value(), settings.stripe_api_base

    @cache
    def meter() -> UsageMeter:
        from farebox.adapters.stripe_client import open_client  # noqa: PLC0415  # see the top
        from farebox.adapters.stripe_usage import StripeUsage  # noqa: PLC0415

        return StripeUsage(open_client(key, api_base))

    outbox, checks = StoredUsageOutbox(database), StoredUsageChecks(database)
    return Reporting(UsageReport(outbox, UsageCheck(checks, meter), meter), outbox, checks)
