"""WebAuthn: what authenticators are asked, and whether what they answer holds."""

import json
import logging
import re
from collections.abc import Sequence
from typing import Final

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, parse_authentication_credential_json
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from farebox.domain.people import Passkey, Person, PersonError
from farebox.ports.proofs import NewPasskey, Place

log = logging.getLogger("farebox.web")

WAIT_MILLISECONDS: Final = 300_000
PASSKEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,1364}")  # of the 1,023 bytes that an id may have
REFUSED: Final = "Your passkey does not work here, so nothing was done. Try again, or another way."
KNOWN_TRANSPORTS: Final = {each.value for each in AuthenticatorTransport}


class WebAuthn:
    """The port `Authenticators`."""

    def ask_to_make(self, place: Place, challenge: bytes, person: Person, others: Sequence[Passkey]) -> str:
        options = generate_registration_options(
            rp_id=place.host,
            rp_name=place.name,
            user_name=person.email,
            user_id=person.id.encode(),
            challenge=challenge,
            timeout=WAIT_MILLISECONDS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[_described(each) for each in others],
        )
        return options_to_json(options)

    def made(self, place: Place, challenge: bytes, answer: str) -> NewPasskey:
        try:
            verified = verify_registration_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=place.host,
                expected_origin=list(place.origins),
                require_user_verification=True,
            )
        except Exception as error:  # noqa: BLE001  # what a stranger sends is refused, however it breaks a parser
            raise _refused(error) from None
        made = bytes_to_base64url(verified.credential_id)
        return NewPasskey(made, verified.credential_public_key, verified.sign_count, ",".join(_transports(answer)))

    def ask_to_show(self, place: Place, challenge: bytes, passkeys: Sequence[Passkey]) -> str:
        options = generate_authentication_options(
            rp_id=place.host,
            challenge=challenge,
            timeout=WAIT_MILLISECONDS,
            allow_credentials=[_described(each) for each in passkeys],
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json(options)

    def passkey_id(self, answer: str) -> str:
        try:
            found = parse_authentication_credential_json(answer).id
        except Exception as error:  # noqa: BLE001  # as above
            raise _refused(error) from None
        if not PASSKEY_ID.fullmatch(found):  # what JSON can write is not always what a database can look for
            raise _refused(ValueError("its id is none"))
        return found

    def shown(self, place: Place, challenge: bytes, answer: str, passkey: Passkey) -> int:
        try:
            credential = parse_authentication_credential_json(answer)
            verified = verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=place.host,
                expected_origin=list(place.origins),
                credential_public_key=passkey.public_key,
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=True,
            )
        except Exception as error:  # noqa: BLE001  # as above
            raise _refused(error) from None
        handle = credential.response.user_handle
        if credential.id != passkey.id or (handle is not None and handle != passkey.person_id.encode()):
            raise _refused(ValueError("the answer is of another passkey"))
        return verified.new_sign_count


def _described(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    transports = [AuthenticatorTransport(each) for each in passkey.transports.split(",") if each in KNOWN_TRANSPORTS]
    return PublicKeyCredentialDescriptor(id=base64url_to_bytes(passkey.id), transports=transports or None)


def _transports(answer: str) -> list[str]:
    """How the authenticator says it can be reached: a hint for the next time, which nothing vouches for."""
    said = json.loads(answer).get("response", {}).get("transports")
    if not isinstance(said, list):
        return []
    return [each for each in said if isinstance(each, str) and each in KNOWN_TRANSPORTS]


def _refused(error: Exception) -> PersonError:
    log.info("a passkey was refused: %s", error)
    return PersonError(REFUSED)
