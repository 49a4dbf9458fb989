"""How people come in for the first time, or again after they forgot their password: by a link that works once."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from dicom_node.web import door, passwords
from dicom_node.web.access import address_of
from dicom_node.web.context import Context, Here
from dicom_node.web.links import NAME, NAME_RULE
from dicom_node.web.pages import page
from storage import audit, people
from storage.errors import LastAdministrator
from storage.people import Invitation, Role
from storage.steps import Step

pages = APIRouter(include_in_schema=False)
api = APIRouter()


def faults_of_password(password: str, again: str, name: str) -> dict[str, str]:
    """Say by its field what is wrong with a password that was typed twice."""
    if (fault := passwords.fault_of(password, name)) is not None:
        return {"password": fault}
    return {} if password == again else {"again": "is not the same"}


@pages.get("/invitation/{secret}")
def invitation_page(request: Request, context: Here, secret: str) -> Response:
    """Ask somebody who was invited for the password that they want."""
    return _page(request, 200, _invitation(context, secret))


@pages.post("/invitation/{secret}")
def accept_invitation(
    request: Request,
    context: Here,
    secret: str,
    password: Annotated[str, Form(max_length=passwords.LONGEST)],
    again: Annotated[str, Form(max_length=passwords.LONGEST)],
    name: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Keep the password of somebody who was invited."""
    found = _invitation(context, secret)
    name = found.name or name.strip().lower()
    faults = faults_of_password(password, again, name)
    if not NAME.fullmatch(name):
        faults["name"] = NAME_RULE
    if not faults:
        try:
            if _accept(context, secret, name, password, address_of(request)):
                moved_to = context.opened() if found.role is Role.ADMINISTRATOR else ""
                return page(request, "accepted.html", name=name, moved_to=moved_to)
            faults["name"] = "is somebody else's"
        except LastAdministrator:
            raise HTTPException(409, "The last administrator has to stay one.") from None
        except passwords.TooManyAtOnce:
            faults |= {"password": "cannot be kept at this moment, try again"}
    return _page(request, 422, found, name, faults)


def _accept(context: Context, secret: str, name: str, password: str, address: str) -> bool:
    kept = passwords.hashed(password)
    now = context.now()
    with context.folder.database.write(Step.BY_HAND) as connection:
        accepted = people.accept(connection, secret, name, kept, now)
        if accepted is not None:
            audit.append(connection, now, "person_accepted", user=name, role=accepted.role, address=address)
    return accepted is not None


def _page(
    request: Request,
    status: int,
    invitation: Invitation,
    name: str = "",
    faults: dict[str, str] | None = None,
) -> Response:
    return page(
        request,
        "invitation.html",
        status,
        invitation=invitation,
        name=name,
        faults=faults or {},
        shortest=passwords.SHORTEST,
    )


def _invitation(context: Context, secret: str) -> Invitation:
    door.not_behind_a_proxy(context.settings.web)
    with context.folder.database.read() as connection:
        found = people.invitation(connection, secret, context.now())
    if found is None:
        raise HTTPException(404, "This invitation was used, has expired, or never was. Ask for a new one.")
    return found
