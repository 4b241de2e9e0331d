"""Adding places and photos, and following the jobs that come of it; for those who are signed in."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from sevra_atlas import queue as jobs_queue
from sevra_atlas.jobs import find_job
from sevra_atlas.photos import MAX_BYTES, NotAnImageError, add_photo, find_image, store_image
from sevra_atlas.places import NewPlace, PlaceError, add_place, find_place, places_of
from sevra_atlas.web.context import PRIVATE, account_of, atlas_of, page, wants_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from sevra_atlas.accounts import Account

log = logging.getLogger(__name__)

MAX_UPLOAD_BODY = MAX_BYTES + 64 * 1024  # the image and what multipart puts around it


async def _require_account(request: Request) -> Account:
    account = await account_of(request)
    if account is None:
        raise HTTPException(401, "Sign in first")
    return account


async def create_place(request: Request) -> Response:
    """`POST /places`: 303 to the new place (201 for a program), or what is wrong with it and 422."""
    account = await _require_account(request)
    atlas = atlas_of(request)
    form = await request.form(max_fields=20)
    try:
        slug = await add_place(atlas.database, atlas.cache, account.id, NewPlace.from_form(form))
    except PlaceError as error:
        if wants_json(request):
            return JSONResponse({"problems": error.problems}, 422, PRIVATE)
        places = await places_of(atlas.database, account.id)
        return page(
            request,
            "me.html",
            PRIVATE,
            422,
            account=account,
            places=places,
            problems=error.problems,
            form=form,
        )
    if wants_json(request):
        return JSONResponse({"slug": slug, "url": f"/places/{slug}"}, 201, PRIVATE)
    return RedirectResponse(f"/places/{slug}", 303, PRIVATE)


async def upload_photo(request: Request) -> Response:
    """`POST /places/{slug}/photos`: store the image of the field `photo` and queue its thumbnail.

    303 to the place, or for a program 202 with the URLs of image and job; 413 above 10 MB, 415 for what is no image.
    """
    account = await _require_account(request)
    atlas = atlas_of(request)
    place = await find_place(atlas.database, request.path_params["slug"])
    if place is None:
        raise HTTPException(404, "There is no such place")
    async with request.form(max_files=1, max_fields=10) as form:
        photo = form.get("photo")
        if not isinstance(photo, UploadFile) or not photo.size:
            raise HTTPException(422, "Choose an image for the field photo")
        if photo.size > MAX_BYTES:
            raise HTTPException(413, f"An image may have {MAX_BYTES // 2**20} MB")
        try:
            name = await asyncio.to_thread(store_image, atlas.media, photo.file)
        except NotAnImageError as error:
            raise HTTPException(415, str(error)) from error
    job_id = await add_photo(atlas.database, place["id"], account.id, name)
    try:
        await atlas.queue.add(job_id)
    except jobs_queue.AWAY as error:
        # The job is safe in the database, where the worker finds it when the queue is back.
        log.warning("The queue is away", extra={"fields": {"error": type(error).__name__, "job": job_id}})
    if wants_json(request):
        answer = {"photo": name, "url": f"/uploads/{name}", "job": job_id, "job_url": f"/jobs/{job_id}"}
        return JSONResponse(answer, 202, PRIVATE)
    return RedirectResponse(f"/places/{place['slug']}", 303, PRIVATE)


async def uploaded(request: Request) -> Response:
    """`/uploads/{name}`: an image or a thumbnail, which never changes under its name."""
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    answer = await find_image(atlas_of(request).media, request.path_params["name"], headers)
    if answer is None:
        raise HTTPException(404, "There is no such image")
    return answer


async def job(request: Request) -> Response:
    """`/jobs/{id}`: how far a job is."""
    try:
        job_id = str(uuid.UUID(request.path_params["id"]))
    except ValueError:
        raise HTTPException(404, "There is no such job") from None
    found = await find_job(atlas_of(request).database, job_id)
    if found is None:
        raise HTTPException(404, "There is no such job")
    return JSONResponse(found, headers={"Cache-Control": "no-store"})
