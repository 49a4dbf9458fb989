"""People: who may come in as what. The administrator invites, changes roles, ends sessions, and takes people out."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from dicom_node.web import links
from dicom_node.web.access import Administrator, Visitor, limits_of
from dicom_node.web.context import Context, Here
from dicom_node.web.links import INVITATION_SECONDS, NAME, NAME_RULE
from dicom_node.web.pages import base_of, go_to, page
from storage import audit, people
from storage.errors import LastAdministrator
from storage.people import Role
from storage.steps import Step

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/people", tags=["access"])

UNKNOWN = "There is nobody of this name."


class Person(BaseModel):
    """Somebody who may come in; times in seconds since 1970 (UTC)."""

    name: str
    role: Role
    made_at: float | None
    seen_at: float | None
    sessions: int
    invited_until: float | None


class AnInvitation(BaseModel):
    """A link by which its owner sets a password, once, until `expires_at` (seconds since 1970, UTC)."""

    link: str
    expires_at: float


class NewRole(BaseModel):
    """What somebody shall be."""

    role: Role


def everybody(context: Context) -> list[people.Person]:
    """Return all people, by name."""
    with context.folder.database.read() as connection:
        return people.everybody(connection, context.now(), limits_of(context))


def invite(request: Request, context: Context, visitor: Visitor, name: str, role: Role) -> AnInvitation:
    """Make a link for somebody who is new, or who needs a new password."""
    if not NAME.fullmatch(name):
        raise HTTPException(422, f"A name {NAME_RULE}.")
    now = context.now()
    with context.folder.database.write(Step.BY_HAND) as connection:
        secret = people.invite(connection, role, name, now, INVITATION_SECONDS)
        audit.append(connection, now, "person_invited", **_about(visitor, name), role=role)
    link = links.invitation(base_of(request, context.settings.web), secret)
    return AnInvitation(link=link, expires_at=now + INVITATION_SECONDS)


def invite_again(request: Request, context: Context, visitor: Visitor, name: str) -> AnInvitation:
    """Make a link by which somebody sets a new password, and stays what they are."""
    found = next((each for each in everybody(context) if each.name == name and each.made_at), None)
    if found is None:
        raise HTTPException(404, UNKNOWN)
    return invite(request, context, visitor, name, found.role)


def change_role(context: Context, visitor: Visitor, name: str, role: Role) -> None:
    """Have somebody be something else from now on."""
    with context.folder.database.write(Step.BY_HAND) as connection:
        try:
            found = people.change_role(connection, name, role)
        except LastAdministrator as error:
            raise HTTPException(409, f"{error}.") from None
        if not found:
            raise HTTPException(404, UNKNOWN)
        audit.append(connection, context.now(), "role_changed", **_about(visitor, name), role=role)


def remove(context: Context, visitor: Visitor, name: str) -> None:
    """Let somebody in no more, and take back what they were invited by."""
    with context.folder.database.write(Step.BY_HAND) as connection:
        try:
            found = people.remove(connection, name)
        except LastAdministrator as error:
            raise HTTPException(409, f"{error}.") from None
        if not found:
            raise HTTPException(404, UNKNOWN)
        audit.append(connection, context.now(), "person_removed", **_about(visitor, name))


def end_sessions(context: Context, visitor: Visitor, name: str) -> None:
    """Have somebody log in again."""
    with context.folder.database.write(Step.BY_HAND) as connection:
        if not people.end_sessions_of(connection, name):
            raise HTTPException(404, "Nobody of this name is in.")
        audit.append(connection, context.now(), "sessions_ended", **_about(visitor, name))


def _about(visitor: Visitor, name: str) -> dict[str, str]:
    return {"user": visitor.name, "address": visitor.address, "person": name}


@pages.get("/people")
def people_page(request: Request, context: Here, _visitor: Administrator) -> Response:
    """Show who may come in."""
    return _page(request, context)


@pages.post("/people")
def invite_by_form(
    request: Request,
    context: Here,
    visitor: Administrator,
    name: Annotated[str, Form(max_length=64)],
    role: Annotated[Role, Form()],
) -> Response:
    """Show the link for somebody new, once."""
    name = name.strip().lower()
    fault = "" if NAME.fullmatch(name) else NAME_RULE
    if any(each.name == name and each.made_at for each in everybody(context)):
        fault = "is somebody's already"
    if fault:
        return _page(request, context, 422, name=name, fault=fault)
    return _page(request, context, name=name, invitation=invite(request, context, visitor, name, role))


@pages.post("/people/{name}/link")
def new_link(request: Request, context: Here, visitor: Administrator, name: str) -> Response:
    """Show the link by which somebody sets a new password, once."""
    return _page(request, context, name=name, invitation=invite_again(request, context, visitor, name))


@pages.post("/people/{name}/role")
def change_role_by_form(
    request: Request, context: Here, visitor: Administrator, name: str, role: Annotated[Role, Form()]
) -> Response:
    """Change somebody's role."""
    change_role(context, visitor, name, role)
    return go_to(request, "/people")


@pages.post("/people/{name}/out")
def end_sessions_by_form(request: Request, context: Here, visitor: Administrator, name: str) -> Response:
    """Have somebody log in again."""
    end_sessions(context, visitor, name)
    return go_to(request, "/people")


@pages.post("/people/{name}/removal")
def remove_by_form(request: Request, context: Here, visitor: Administrator, name: str) -> Response:
    """Take somebody out."""
    remove(context, visitor, name)
    return go_to(request, "/people")


def _page(
    request: Request,
    context: Context,
    status: int = 200,
    *,
    name: str = "",
    fault: str = "",
    invitation: AnInvitation | None = None,
) -> Response:
    return page(
        request,
        "people.html",
        status,
        people=everybody(context),
        roles=list(Role),
        web=context.settings.web,
        name=name,
        fault=fault,
        invitation=invitation,
        quoted=lambda each: quote(each, safe=""),
    )


@api.get("")
def list_people(context: Here, _visitor: Administrator) -> list[Person]:
    """Return who may come in, who was invited, and who came in by the hospital's single sign-on."""
    return [Person.model_validate(each, from_attributes=True) for each in everybody(context)]


@api.post("/{name}/invitation", status_code=201, responses={422: {}})
def make_invitation(
    request: Request, context: Here, visitor: Administrator, name: str, new: NewRole
) -> AnInvitation:
    """Make a link by which somebody sets a password; for a name that has one already, a new one, and the role counts
    from its use on.
    """
    return invite(request, context, visitor, name, new.role)


@api.put("/{name}/role", status_code=204, responses={404: {}, 409: {}})
def put_role(context: Here, visitor: Administrator, name: str, new: NewRole) -> None:
    """Change somebody's role, at once. The last administrator stays one (409)."""
    change_role(context, visitor, name, new.role)


@api.delete("/{name}/sessions", status_code=204, responses={404: {}})
def delete_sessions(context: Here, visitor: Administrator, name: str) -> None:
    """Have somebody log in again."""
    end_sessions(context, visitor, name)


@api.delete("/{name}", status_code=204, responses={404: {}, 409: {}})
def delete_person(context: Here, visitor: Administrator, name: str) -> None:
    """Let somebody in no more. The last administrator stays (409)."""
    remove(context, visitor, name)
