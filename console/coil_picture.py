"""A coil's heat map with its axes and band, for reports and mails: PNG or SVG, of one plan."""

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

from console.heat_map import HeatMap, colour_indices, heat_map_png, palette
from schemas.layout import FACES, MATRIX_COLUMNS, MATRIX_ROWS, SENSORS_PER_FACE

_CELL_WIDTH, _CELL_HEIGHT = 4, 16  # pixels
_LEFT, _TOP, _BETWEEN, _RIGHT, _BOTTOM = 76, 64, 28, 24, 64
_MAP_WIDTH, _FACE_HEIGHT = MATRIX_ROWS * _CELL_WIDTH, SENSORS_PER_FACE * _CELL_HEIGHT
WIDTH = _LEFT + _MAP_WIDTH + _RIGHT
HEIGHT = _TOP + 2 * _FACE_HEIGHT + _BETWEEN + _BOTTOM
_FONT_PX = 14
_TICKS = 8
_LEGEND_WIDTH, _LEGEND_HEIGHT = 160, 10
_STOPS = (*range(0, 254, 25), 254)  # of the legend, among its 255 colours

Anchor = Literal["start", "middle", "end"]
_PILLOW_ANCHOR: dict[Anchor, str] = {"start": "ls", "middle": "ms", "end": "rs"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Text:
    x: float
    y: float  # of the base line
    text: str
    anchor: Anchor = "start"


def picture_png(heat: HeatMap, title: str, *, dark: bool) -> bytes:
    """Both faces over metres and sensors, with the band.

    Args:
        heat: of the coil.
        title: in one line, such as the coil and its verdict.
        dark: for a dark page.
    """
    ground, ink = _grounds(dark=dark)
    picture = Image.new("RGB", (WIDTH, HEIGHT), ground)
    draw = ImageDraw.Draw(picture)
    cells = Image.fromarray(colour_indices(heat.distance, reach=heat.reach).T)
    cells.putpalette(palette(dark=dark))
    large = cells.resize((_MAP_WIDTH, MATRIX_COLUMNS * _CELL_HEIGHT), Image.Resampling.NEAREST).convert("RGB")
    for index in range(len(FACES)):
        picture.paste(large.crop((0, index * _FACE_HEIGHT, _MAP_WIDTH, (index + 1) * _FACE_HEIGHT)), _corner(index))
        draw.rectangle(_frame(index), outline=ink)
    legend = Image.frombytes("RGB", (255, 1), palette(dark=dark)[3:]).resize((_LEGEND_WIDTH, _LEGEND_HEIGHT))
    picture.paste(legend, _legend_corner())
    for text in _texts(heat, title):
        draw.text((text.x, text.y), text.text, fill=ink, font=_font(), anchor=_PILLOW_ANCHOR[text.anchor])
    written = BytesIO()
    picture.save(written, "PNG", compress_level=1)
    return written.getvalue()


def picture_svg(heat: HeatMap, title: str, *, dark: bool) -> bytes:
    """The same as SVG: the cells are an image within, all else is text and lines."""
    ground, ink = _grounds(dark=dark)
    cells = b64encode(heat_map_png(heat.distance, dark=dark, reach=heat.reach)).decode()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        ' role="img" aria-labelledby="title description"'
        f' font-family="sans-serif" font-size="{_FONT_PX}" fill="{ink}">',
        f'<title id="title">{_safe(title)}</title>',
        '<desc id="description">Both faces of the strip from head to tail; colour is the distance from the ordered'
        f" band: {_safe(_band(heat))}</desc>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{ground}"/>',
    ]
    for index in range(len(FACES)):
        x, y = _corner(index)
        parts.append(
            f'<svg x="{x}" y="{y}" width="{_MAP_WIDTH}" height="{_FACE_HEIGHT}" preserveAspectRatio="none"'
            f' viewBox="0 {index * SENSORS_PER_FACE} {MATRIX_ROWS} {SENSORS_PER_FACE}">'
            f'<image width="{MATRIX_ROWS}" height="{MATRIX_COLUMNS}" preserveAspectRatio="none"'
            f' style="image-rendering:pixelated" href="data:image/png;base64,{cells}"/></svg>'
            f'<rect x="{x}" y="{y}" width="{_MAP_WIDTH}" height="{_FACE_HEIGHT}" fill="none" stroke="{ink}"/>'
        )
    x, y = _legend_corner()
    stops = palette(dark=dark)[3:]
    parts.append('<linearGradient id="colours">')
    parts += [f'<stop offset="{at / 254:.3f}" stop-color="#{stops[3 * at : 3 * at + 3].hex()}"/>' for at in _STOPS]
    parts.append(
        f'</linearGradient><rect x="{x}" y="{y}" width="{_LEGEND_WIDTH}" height="{_LEGEND_HEIGHT}"'
        ' fill="url(#colours)"/>'
    )
    parts += [
        f'<text x="{text.x:.1f}" y="{text.y:.1f}" text-anchor="{text.anchor}">{_safe(text.text)}</text>'
        for text in _texts(heat, title)
    ]
    return "".join([*parts, "</svg>"]).encode()


def _texts(heat: HeatMap, title: str) -> list[_Text]:
    texts = [_Text(x=_LEFT, y=24, text=_shortened(title)), _Text(x=_LEFT, y=48, text=_band(heat))]
    for index, face in enumerate(FACES):
        x, y = _corner(index)
        texts.append(_Text(x=x - 40, y=y + _FACE_HEIGHT / 2, text=face, anchor="middle"))
        texts += [
            _Text(x=x - 8, y=y + (sensor - 0.25) * _CELL_HEIGHT, text=str(sensor), anchor="end")
            for sensor in (1, SENSORS_PER_FACE)
        ]
    end = heat.length_m or float(MATRIX_ROWS)
    bottom = _corner(len(FACES) - 1)[1] + _FACE_HEIGHT
    texts += [
        _Text(x=_LEFT + _MAP_WIDTH * tick / _TICKS, y=bottom + 20, text=f"{end * tick / _TICKS:.0f}", anchor="middle")
        for tick in range(_TICKS + 1)
    ]
    along = "m from the head of the strip" if heat.length_m else "chunk of 264 along the strip"
    x, y = _legend_corner()
    low, high = f"−{heat.reach:.3g}", f"+{heat.reach:.3g} {heat.unit}"
    return [
        *texts,
        _Text(x=_LEFT, y=bottom + 46, text=along),
        _Text(x=x - 8, y=y + _LEGEND_HEIGHT, text=low, anchor="end"),
        _Text(x=x + _LEGEND_WIDTH + 8, y=y + _LEGEND_HEIGHT, text=high),
    ]


def _band(heat: HeatMap) -> str:
    if heat.band_g_m2 is None:
        return "no band was known; blue thinner, red thicker"
    low, high = heat.band_g_m2
    return f"band {low:g} to {high:g} g/m²; blue: too thin, red: too thick, grey: not measured"


def _shortened(title: str) -> str:
    most = 130
    return title if len(title) <= most else title[: most - 1] + "…"


def _safe(text: str) -> str:
    """For XML, which knows no control characters."""
    return escape("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text))


def _corner(index: int) -> tuple[int, int]:
    return _LEFT, _TOP + index * (_FACE_HEIGHT + _BETWEEN)


def _frame(index: int) -> tuple[int, int, int, int]:
    x, y = _corner(index)
    return x - 1, y - 1, x + _MAP_WIDTH, y + _FACE_HEIGHT


def _legend_corner() -> tuple[int, int]:
    return _LEFT + _MAP_WIDTH - _LEGEND_WIDTH - 110, HEIGHT - 28


def _grounds(*, dark: bool) -> tuple[str, str]:
    return ("#14171a", "#e8eaed") if dark else ("#ffffff", "#1b1f23")


@cache
def _font() -> ImageFont.FreeTypeFont:
    """That of the other pictures; Pillow's own has no ²."""
    import matplotlib as mpl  # noqa: PLC0415 - a console starts faster without

    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", _FONT_PX)
