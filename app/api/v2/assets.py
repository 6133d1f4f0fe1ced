"""Assets of the Comfy API v2: files sent, files made, found again by their hash, and deleted."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import PurePosixPath
from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Request
from starlette.responses import Response

from app.api.bodies import written_body
from app.api.dependencies import Services, ServicesDep
from app.api.forms import FormPart, form_parts, text_of
from app.api.headers import IdempotencyKey, key
from app.api.openapi import FILE, readable
from app.api.outputs import Asked, output_answer
from app.api.schemas import UUID
from app.api.uploads import arriving, upload_answer
from app.api.v2.described import UPLOAD, body, failures
from app.api.v2.schemas import AssetFromHash, AssetShape
from app.api.v2.shapes import Shapes
from app.asset_records import HASH
from app.assets import Made, Sent, Taken
from app.errors import InvalidRequest, Problem, pointer
from app.v2_errors import HashMismatch

router = APIRouter(prefix="/assets")

FIELDS: Final = frozenset({"content_type", "file_path", "expected_hash", "expires_in"})
MAX_PATH_CHARS: Final = 500

# Told and not enforced: what is no id or hash is not found, as the contract has it.
AssetId = Annotated[
    str, Path(description="an asset's id, a job's output's, or an upload's", json_schema_extra={"pattern": UUID})
]
Hash = Annotated[
    str, Path(description="`blake3:` and 64 hexadecimal digits", json_schema_extra={"pattern": f"^{HASH.pattern}$"})
]


@router.post(
    "",
    status_code=201,
    responses={
        201: {"model": AssetShape, "description": "an asset, and its content is new here"},
        200: {"model": AssetShape, "description": "a new asset of a content that was here before"},
        **failures(409, 413, 422),
    },
    openapi_extra=UPLOAD,
)
async def create(services: ServicesDep, http: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Send a picture, a video or a sound as a form. Each request makes an asset; the same content is kept once.

    An `Idempotency-Key` is good for one asset within a day.
    """
    single_use = key(idempotency_key)
    if single_use is not None:
        await services.assets.check_key(single_use)
    taken, fields = await _arrived(services, http)
    path = fields.get("file_path") or taken.upload.filename
    sent = await services.assets.mint(taken, path, single_use)
    return _shown(services, http, sent, 201 if taken.is_new else 200, created_new=taken.is_new)


@router.post(
    "/from-hash",
    status_code=201,
    responses={201: {"model": AssetShape}, **failures(404, 413, 422)},
    openapi_extra=body("AssetFromHash"),
)
async def from_hash(services: ServicesDep, http: Request) -> Response:
    """A further asset of a content that was sent before, without sending it again."""
    asked = written_body(await http.body(), AssetFromHash, "a hash")
    sent = await services.assets.mint_again(asked.hash, asked.file_path)
    return _shown(services, http, sent, 201, created_new=False)


@readable(router, "/by-hash/{content_hash}", responses={200: {"model": AssetShape}, **failures(404, 422)})
async def by_hash(content_hash: Hash, services: ServicesDep, http: Request) -> Response:
    """The newest asset of a content. `HEAD` tells whether there is one, before anything is sent."""
    return _shown(services, http, await services.assets.by_hash(content_hash), 200)


@readable(router, "/{asset_id}", responses={200: {"model": AssetShape}, **failures(404, 422)})
async def read(asset_id: AssetId, services: ServicesDep, http: Request) -> Response:
    """What is known of an asset, with a fresh URL of its content."""
    return _shown(services, http, await services.assets.get(asset_id), 200)


@router.delete("/{asset_id}", status_code=204, responses=failures(404, 409, 422))
async def delete(asset_id: AssetId, services: ServicesDep) -> Response:
    """Delete the asset. Its content stays for what else refers to it; outputs of jobs and plain uploads stay, too."""
    await services.assets.delete(asset_id)
    return Response(status_code=204)


@readable(router, "/{asset_id}/content", responses={**FILE, **failures(404, 422)})
async def content(
    asset_id: AssetId, services: ServicesDep, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """The file. Strong ETag and ranges; never changes, so cache it for ever."""
    asked = Asked(None, is_download=False, if_none_match=if_none_match)
    match await services.assets.get(asset_id):
        case Made(stored=stored):
            return await output_answer(stored, services, asked)
        case Sent(upload=upload):
            return await upload_answer(upload, services, asked)


async def _arrived(services: Services, http: Request) -> tuple[Taken, dict[str, str]]:
    """The form's file and its other fields, in whatever order they come."""
    taken, fields = None, dict[str, str]()
    content_type = http.headers.get("content-type", "")
    async with aclosing(arriving(http)) as raw, aclosing(form_parts(content_type, raw)) as parts:
        async for part in parts:
            if part.field == "file":
                if taken is not None:
                    raise InvalidRequest(Problem("/file", "is given twice; send one file with each request"))
                taken = await _taken(services, part, fields)
            elif part.field in FIELDS:
                fields[part.field] = _checked(part.field, await text_of(part))
    if taken is None:
        raise InvalidRequest(Problem("/file", "is missing; send the file in a field of this name"))
    if fields.get("expected_hash", taken.hash) != taken.hash:
        raise HashMismatch
    return taken, fields


async def _taken(services: Services, part: FormPart, fields: dict[str, str]) -> Taken:
    name = fields.get("file_path") or part.filename or ""
    async with aclosing(part.chunks) as chunks:
        return await services.assets.take(chunks, PurePosixPath(name).name, fields.get("expected_hash"))


def _checked(name: str, value: str) -> str:
    match name:
        case "expected_hash" if not HASH.fullmatch(value):
            flaw = "is written blake3: and 64 hexadecimal digits in lower case"
        case "file_path" if not 1 <= len(value) <= MAX_PATH_CHARS:
            flaw = f"has 1 to {MAX_PATH_CHARS} characters"
        case "expires_in" if not (value.isascii() and value.isdigit() and 60 <= int(value[:10]) <= 604_800):
            flaw = "is a whole number of seconds from 60 to 604800"
        case _:
            return value
    raise InvalidRequest(Problem(pointer(name), flaw))


def _shown(
    services: Services, http: Request, found: Sent | Made, status: int, *, created_new: bool | None = None
) -> Response:
    shape = Shapes.of(services, http).asset(found)
    if created_new is not None:
        shape = shape.model_copy(update={"created_new": created_new})
    return Response(shape.model_dump_json(exclude_unset=True), status, media_type="application/json")
