"""`/docs`: the OpenAPI document as a page, with forms that send requests.

Swagger UI comes out of a package on this machine, not from a network: the machine may be offline,
and the pages' policy admits no script but our own.
"""

from importlib.resources import files
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

router = APIRouter()
_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")
_ASSETS = "/docs/assets"


@router.get("/docs")
def docs_page(request: Request) -> Response:
    """The page. It needs no key, as the document needs none; the requests that it sends do."""
    return _templates.TemplateResponse(request, "docs.html", {"assets": _ASSETS})


def add_docs(app: FastAPI) -> None:
    """Serve the page and its scripts."""
    app.include_router(router, include_in_schema=False)
    folder = Path(str(files(fastapi_offline) / "static"))
    app.mount(_ASSETS, StaticFiles(directory=folder), name="docs-assets")
