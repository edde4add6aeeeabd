"""What the owners of an account chose: its plan, its cap, its limit mails. Loaded by pages only."""

from typing import Final

from sqlalchemy import and_, select, update

from farebox.domain.ledger import Meter
from farebox.domain.people import Client, NotAllowed
from farebox.domain.subscribing import period_under_way
from farebox.ports.people import Visit
from farebox.ports.team import PlanView
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.people.members import lock_own
from farebox.store.tables import account, meter
from farebox.store.tables_people import limit_mark, member

NO_CAP: Final = "none"
SUBSCRIBED: Final = "Your plan is paid for. Cancel it, and you move to this one when it ends."


class StoredPlans:
    """The port `Plans` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def view(self, here: Visit) -> PlanView:
        account_id = here.account.id
        with self._database.read() as connection:
            now_us = self._database.now_us(connection)
            current = and_(meter.c.period_start_us <= now_us, meter.c.period_end_us > now_us)
            live = and_(meter.c.account_id == account_id, meter.c.name == "live")
            row = connection.execute(select(meter).where(live, current)).first()
            used = Meter(*row) if row is not None else None
            anchor_us = connection.execute(select(account.c.anchor_us).where(account.c.id == account_id)).scalar_one()
            period = period_under_way(used, anchor_us, now_us)
            noted = select(limit_mark.c.name, limit_mark.c.percent).where(limit_mark.c.account_id == account_id)
            marks = connection.execute(noted.where(limit_mark.c.period_start_us == period.start_us)).all()
            mine = and_(member.c.account_id == account_id, member.c.person_id == here.person.id)
            wants = connection.execute(select(member.c.has_limit_mails).where(mine)).scalar()
        return PlanView(
            now_us,
            period,
            used,
            {(name, percent) for name, percent in marks},
            has_limit_mails=bool(wants),
        )

    def choose(self, here: Visit, plan: str, client: Client) -> None:
        with self._database.write() as connection:
            before = lock_own(connection, here)
            if before.is_subscribed:  # or they would pay on for what they no longer have
                raise NotAllowed(SUBSCRIBED)
            connection.execute(update(account).where(account.c.id == before.id).values(plan=plan))
            now_us = self._database.now_us(connection)
            facts = {"from": before.plan, "to": plan}
            write_down(
                connection, "plan_changed", client, now_us, person_id=here.person.id, account_id=before.id, **facts
            )

    def set_spend_cap(self, here: Visit, nanodollars: int | None, client: Client) -> None:
        with self._database.write() as connection:
            before = lock_own(connection, here)
            changed = {"spend_cap_nanodollars": nanodollars}
            connection.execute(update(account).where(account.c.id == before.id).values(changed))
            now_us = self._database.now_us(connection)
            facts = {"nanodollars": NO_CAP if nanodollars is None else str(nanodollars)}
            write_down(
                connection, "spend_cap_set", client, now_us, person_id=here.person.id, account_id=before.id, **facts
            )

    def set_limit_mails(self, here: Visit, client: Client, *, wanted: bool) -> None:
        with self._database.write() as connection:
            account_id = lock_own(connection, here).id
            mine = and_(member.c.account_id == account_id, member.c.person_id == here.person.id)
            connection.execute(update(member).where(mine).values(has_limit_mails=int(wanted)))
            now_us = self._database.now_us(connection)
            what = "limit_mails_on" if wanted else "limit_mails_off"
            write_down(connection, what, client, now_us, person_id=here.person.id, account_id=account_id)
