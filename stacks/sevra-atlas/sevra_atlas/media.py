"""Where images are kept: in a folder, or in a bucket of an S3-compatible server.

Under one name there is always the same content, so a file may be written twice and cached for ever.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from starlette.responses import FileResponse, Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sevra_atlas.settings import BucketSettings, Settings

_CONNECT_WITHIN = "3s"
_ANSWER_WITHIN = "20s"
_CHUNK_BYTES = 256 * 1024


class MediaAwayError(ConnectionError):
    """The bucket cannot be used just now: worth another try later, and no fault of the image."""


class Media(Protocol):
    """A store of images by name."""

    def put(self, name: str, content: bytes) -> None:
        """Keep `content` durably; no reader, and no crash, ever sees a part of it."""

    def get(self, name: str) -> bytes:
        """Return what is kept under a name; raise FileNotFoundError where nothing is."""

    async def respond(self, name: str, media_type: str, headers: Mapping[str, str]) -> Response | None:
        """Return the answer that sends a file piece by piece, or None where there is none of that name."""


def open_media(settings: Settings) -> Media:
    """Return the bucket that the settings name, or the folder where they name none."""
    return Folder(settings.uploads_dir) if settings.bucket is None else Bucket(settings.bucket)


class Folder:
    """Images as files of a folder, which api and worker share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, content: bytes) -> None:
        """Keep `content` as a file."""
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".part-", delete=False) as part:
            try:
                part.write(content)
                part.flush()
                os.fchmod(part.fileno(), 0o644)
                os.fsync(part.fileno())
                Path(part.name).rename(self._folder / name)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def get(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self._folder / name).read_bytes()

    async def respond(self, name: str, media_type: str, headers: Mapping[str, str]) -> Response | None:
        """Return the answer that sends a file."""
        path = self._folder / name
        return FileResponse(path, headers=headers, media_type=media_type) if path.is_file() else None


class Bucket:
    """Images as objects of a bucket."""

    def __init__(self, settings: BucketSettings) -> None:
        from obstore.store import S3Store

        self._store = S3Store(
            settings.name,
            prefix=settings.prefix or None,
            endpoint=settings.endpoint,
            region=settings.region,
            access_key_id=settings.access_key_id,
            secret_access_key=settings.secret_access_key,
            client_options={
                "allow_http": settings.endpoint.startswith("http:"),
                "connect_timeout": _CONNECT_WITHIN,
                "timeout": _ANSWER_WITHIN,
            },
            retry_config={"max_retries": 1},
        )

    def put(self, name: str, content: bytes) -> None:
        """Keep `content` as an object; raise MediaAwayError where the server does not take it."""
        from obstore.exceptions import BaseError

        try:
            self._store.put(name, content)
        except (BaseError, OSError) as error:
            raise MediaAwayError("the bucket does not take the image") from error

    def get(self, name: str) -> bytes:
        """Return the content of an object; raise MediaAwayError where the server does not give it."""
        from obstore.exceptions import BaseError

        try:
            return bytes(self._store.get(name).bytes())
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise MediaAwayError("the bucket does not give the image") from error

    async def respond(self, name: str, media_type: str, headers: Mapping[str, str]) -> Response | None:
        """Return the answer that passes an object on; raise MediaAwayError where the server does not give it."""
        from obstore.exceptions import BaseError

        try:
            found = await self._store.get_async(name)
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise MediaAwayError("the bucket does not give the image") from error
        sized = {**headers, "Content-Length": str(found.meta["size"])}
        return StreamingResponse(
            _pieces(found.stream(min_chunk_size=_CHUNK_BYTES)), headers=sized, media_type=media_type
        )


async def _pieces(chunks: Any) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield bytes(chunk)
