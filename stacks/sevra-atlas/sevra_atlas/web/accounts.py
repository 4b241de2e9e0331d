"""Signing up, in and out, and the page of who is signed in: private, every one of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse, Response

from sevra_atlas.accounts import (
    PASSWORD_LENGTHS,
    SESSION_SECONDS,
    EmailTakenError,
    make_session,
    sign_in,
    sign_up,
)
from sevra_atlas.places import places_of
from sevra_atlas.web.context import PRIVATE, SESSION_COOKIE, account_of, atlas_of, page

if TYPE_CHECKING:
    from starlette.requests import Request

    from sevra_atlas.accounts import Account


async def show_sign_in(request: Request) -> Response:
    """`GET /sign-in`."""
    return page(request, "sign_in.html", PRIVATE, account=None, problems=(), email="")


async def show_sign_up(request: Request) -> Response:
    """`GET /sign-up`."""
    return page(request, "sign_up.html", PRIVATE, account=None, problems=(), name="", email="")


async def do_sign_in(request: Request) -> Response:
    """`POST /sign-in`: 303 to /me with a session, or the form again with 401."""
    form = await request.form(max_fields=10)
    email, password = str(form.get("email", "")), str(form.get("password", ""))
    account = await sign_in(atlas_of(request).database, email.replace("\0", ""), password[: PASSWORD_LENGTHS.stop])
    if account is None:
        problems = ("That address and password do not belong together",)
        return page(request, "sign_in.html", PRIVATE, 401, account=None, problems=problems, email=email)
    return _with_session(request, account)


async def do_sign_up(request: Request) -> Response:
    """`POST /sign-up`: 303 to /me with a session, or the form again with 422, or 409 for a taken address."""
    form = await request.form(max_fields=10)
    name, email = str(form.get("name", "")).strip(), str(form.get("email", "")).strip()
    password = str(form.get("password", ""))
    problems, status = _sign_up_problems(name, email, password), 422
    if not problems:
        try:
            account = await sign_up(atlas_of(request).database, name, email, password)
        except EmailTakenError:
            problems, status = ("There is an account with this address already",), 409
        else:
            return _with_session(request, account)
    return page(request, "sign_up.html", PRIVATE, status, account=None, problems=problems, name=name, email=email)


def _sign_up_problems(name: str, email: str, password: str) -> tuple[str, ...]:
    local, _, domain = email.partition("@")
    found = {
        "The name must have 1 to 80 characters": not 1 <= len(name) <= 80 or "\0" in name,
        "This is no e-mail address": not (local and "." in domain) or len(email) > 254 or not email.isprintable(),
        f"The password must have {PASSWORD_LENGTHS.start} to {PASSWORD_LENGTHS.stop - 1} characters": len(password)
        not in PASSWORD_LENGTHS,
    }
    return tuple(problem for problem, present in found.items() if present)


def _with_session(request: Request, account: Account) -> Response:
    settings = atlas_of(request).settings
    response = RedirectResponse("/me", 303, PRIVATE)
    response.set_cookie(
        SESSION_COOKIE,
        make_session(account.id, time.time(), settings.session_key),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="lax",
        secure=settings.public_url.startswith("https:"),
    )
    return response


async def do_sign_out(_request: Request) -> Response:
    """`POST /sign-out`: forget the session."""
    response = RedirectResponse("/", 303, PRIVATE)
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")
    return response


async def me(request: Request) -> Response:
    """`/me`: the places that I have added, and the form for another."""
    account = await account_of(request)
    if account is None:
        return RedirectResponse("/sign-in", 303, PRIVATE)
    places = await places_of(atlas_of(request).database, account.id)
    return page(request, "me.html", PRIVATE, account=account, places=places, problems=(), form={})
