"""What happened in the account, the newest first."""

import re
from collections import defaultdict
from typing import Final

from fastapi import APIRouter, Request, Response

from farebox.domain.money import format_usd
from farebox.ports.team import ACTIVITY_MAX, Happened
from farebox.web.pages.frame import Frame
from farebox.web.pages.visitor import OwnerVisitor

HERE: Final = "/settings/activity"
PLACE: Final = re.compile(r"(\d{1,18})-(audit_[0-9a-f]{32})", re.ASCII)
LEFT: Final = "somebody who has left"
SOMEBODY: Final = "somebody"  # an invitation is forgotten after some days, and whoever took it may well be here
BEGAN: Final = {
    "password": "by password",
    "mail": "by an e-mail link",
    "oauth": "at another service",
    "passkey": "by a passkey",
}
WORDS: Final = {
    "account_opened": "opened the account",
    "account_resumed": "ended the account's suspension",
    "account_suspended": "suspended the account",
    "account_claimed": "took the account over, by its address",
    "address_changed": "changed their address",
    "invitation_revoked": "revoked the invitation of {about}",
    "invited": "invited {about} as {role}",
    "joined": "joined as {role}",
    "key_created": "created an API key",
    "key_revoked": "revoked an API key",
    "key_rotated": "replaced an API key",
    "keys_given_back": "unblocked all keys, as the account could not be deleted",
    "keys_refused": "blocked all keys, to delete the account",
    "left": "left the account",
    "limit_mails_off": "turned off their e-mails about limits",
    "limit_mails_on": "turned on their e-mails about limits",
    "logged_in": "logged in {began}",
    "password_wrong": "entered a wrong password",
    "plan_changed": "moved the account from the plan {from} to {to}",
    "removed": "removed {about}",
    "role_changed": "made {about} {role}",
    "spend_cap_set": "set the account's cap: {cap}",
    "subscription_changed": "changed the plan that is paid for",
    "subscription_cancelled": "cancelled the plan for the end of its period",
    "subscription_resumed": "kept the plan that was cancelled",
    "top_up_set": "turned on buying credit automatically",
    "top_up_ended": "turned off buying credit automatically",
    "switched": "came here from another account of theirs",
    "credit_granted": "bought credit of {amount}",
    "credit_taken_back": "had {amount} of credit taken back, by a refund or a dispute",
    "exported_account": "downloaded all data of the account",
    "exported_person": "downloaded their personal data",
}
"""An event that has no words here is shown by its name."""


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get(HERE)
    def activity(request: Request, visitor: OwnerVisitor, before: str = "") -> Response:
        match = PLACE.fullmatch(before)
        place = (int(match[1]), match[2]) if match is not None else None
        found = frame.site.desk.upkeep.archive.happened(visitor.account.id, place)
        last = found[-1] if len(found) == ACTIVITY_MAX else None
        return frame.page(
            request,
            "activity.html",
            visitor=visitor,
            told="",
            lines=[(each, in_words(each)) for each in found],
            newer=HERE if place is not None else "",
            older=f"{HERE}?before={last.at_us}-{last.id}" if last is not None else "",
        )

    return router


def in_words(line: Happened) -> str:
    """What was done, as the rest of a sentence whose subject is who did it."""
    facts = line.facts
    told = {
        **facts,
        "about": line.about or (LEFT if "person" in facts else SOMEBODY),
        "role": {"owner": "an owner", "member": "a member"}.get(facts.get("role", ""), "somebody"),
        "began": BEGAN.get(facts.get("began", ""), ""),
        "cap": _cap(facts.get("nanodollars", "")),
        "amount": format_usd(int(facts["nanodollars"])) if facts.get("nanodollars", "").isdecimal() else "",
    }
    words = WORDS.get(line.what)
    return words.format_map(defaultdict(str, told)) if words is not None else line.what.replace("_", " ")


def _cap(nanodollars: str) -> str:
    return f"{format_usd(int(nanodollars))} a month" if nanodollars.isdecimal() else "none"
