"""The web page at /: plain files, nothing built and nothing loaded from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response
from starlette.responses import FileResponse

from serving.api.problems import Problem

router = APIRouter(include_in_schema=False)
FILES = Path(__file__).parent.parent / "web"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@router.get("/")
async def index() -> Response:
    return await file("index.html")


@router.get("/web/{name}")
async def file(name: str) -> Response:
    """Raises Problem 404."""
    path = FILES / name
    if path.parent != FILES or path.suffix not in KINDS or not path.is_file():
        raise Problem(404, f"there is no {name[:60]} here")
    return FileResponse(path, media_type=KINDS[path.suffix], headers={"Cache-Control": "no-cache"})
