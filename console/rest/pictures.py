"""`GET /api/v1/coils/{plant}/{coil_id}/picture`: the heat map of both faces, as PNG or SVG."""

from fastapi import APIRouter, Request, Response

from console.coil_picture import picture_png, picture_svg
from console.heat_map import heat_map_of
from console.rest.access import Reads
from console.rest.matrices import Revision, matrix_of
from console.rest.names import REST, NamedCoil
from console.rest.negotiation import wanted_form

PNG, SVG = "image/png", "image/svg+xml"
_SVG_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # its cells are an image within
_BINARY = {"schema": {"type": "string", "format": "binary"}}

router = APIRouter(tags=["coils"])


@router.get(
    REST + "{plant}/{coil_id}/picture",
    summary="A picture of both faces",
    response_class=Response,
    responses={
        200: {"content": {PNG: _BINARY, SVG: {"schema": {"type": "string"}}}},
        404: {"description": "the coil was never seen, or has no such verdict"},
        406: {"description": f"it is to be had as {PNG} and {SVG}"},
        422: {"description": "the stored readings cannot be normalised"},
    },
)
def get_picture(
    request: Request, key: NamedCoil, _: Reads, revision: Revision = None, *, dark: bool = False
) -> Response:
    """Colour is the distance from the ordered band, over metres and sensors; `dark` is for dark pages."""
    form = wanted_form(request, (PNG, SVG))
    found = matrix_of(request, key, revision)
    draw = picture_svg if form == SVG else picture_png
    title = f"coil {key.coil_id}, plant {key.plant}"
    headers = {"Vary": "Accept"} | ({"Content-Security-Policy": _SVG_POLICY} if form == SVG else {})
    return Response(draw(heat_map_of(found), title, dark=dark), media_type=form, headers=headers)
