"""Elements of SVG and HTML as text in which whatever is put is escaped."""

from collections.abc import Mapping

from markupsafe import Markup, escape

Attribute = str | float | None


def tag(name: str, *content: str, attributes: Mapping[str, Attribute] | None = None, **more: Attribute) -> Markup:
    """One element with its content.

    >>> tag("text", "a < b", x=1.25, class_="tick")
    Markup('<text x="1.2" class="tick">a &lt; b</text>')

    Args:
        name: of the element.
        content: text, which is escaped, or Markup, which is not.
        attributes: those whose names are no Python names, e.g. `viewBox`.
        more: `_` stands for `-`, a last one is dropped; numbers are rounded to a tenth; None: no such attribute.
    """
    given = {**(attributes or {}), **{key.rstrip("_").replace("_", "-"): value for key, value in more.items()}}
    told = "".join(f' {key}="{escape(_text(value))}"' for key, value in given.items() if value is not None)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup(told), Markup("").join(content))  # noqa: S704 - escaped above


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.1f}".removesuffix(".0")
