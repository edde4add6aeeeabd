"""Change the address of a person: by a link to the new one, with a notice to the old one."""

from typing import Final

from farebox.account.desk import GONE, Desk, find_link, mail_link, new_mail
from farebox.domain.people import Client, LinkGone, PersonError, TooOften, address_of, mails_from, mails_to
from farebox.ports.people import Visit

ASKED: Final = "Somebody logged in to your account asked to change your address to {email}. Nothing has changed yet."
SAME: Final = "This is already your address."


def ask_for_address(desk: Desk, here: Visit, client: Client, *, email: str) -> str:
    """Have a link mailed to the new address; return the address. Whether somebody has it makes no difference here.

    Raises:
        PersonError: it is no address, or this client has asked too often.
    """
    address = address_of(email)
    if address == here.person.email:
        raise PersonError(SAME, field="email")
    if desk.people.take([mails_from(client)]) is not None:
        raise TooOften("Too many e-mails were requested from your network. Try again in an hour.")
    if desk.people.take([mails_to(address, "change"), mails_to(here.person.id, "change")]) is None:
        told = new_mail(here.person.email, "changed", desk.people.now_us(), what=ASKED.format(email=address))
        mail_link(desk, "change", address, told, person_id=here.person.id)
    return address


def change_address(desk: Desk, here: Visit, client: Client, *, token: str) -> None:
    """Use the link. Only the person who asked for it can: else a stranger could be led to give their address away.

    Raises:
        LinkGone: the link does not work, or another person asked for it.
        NotAllowed: somebody has the address.
    """
    link = find_link(desk, token)
    if not desk.proofs.addresses.change(link.id, here.session, client):
        raise LinkGone(GONE)
    desk.mail_written()
