"""A report's page: its parts as plain values, and the one HTML file that they become."""

import base64
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from aal import __version__
from aal.report.image_pairs import amplified, png
from aal.report.pairs import Pair, Saved
from aal.report.sound_pairs import scale_figure, spectrogram_figure, spectrograms
from aal.report.style import render
from aal.runs import files

LONGEST_SOUND = 2**19  # bytes of a clip that is put into a page; 16 s at 16 kHz


@dataclass(frozen=True)
class Tile:
    """A number that stands at the top of the page, with what it is and what to compare it with."""

    title: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Picture:
    """An image with its caption.

    Attributes:
        uri: The image itself, as a data URI.
        alt: What it shows, in words.
        width: How wide it is shown at most, in CSS pixels.
        caption: The caption; may be empty.
        sound: The clip that it shows, as a data URI; may be empty.
    """

    uri: str
    alt: str
    width: int
    caption: str = ""
    sound: str = ""


@dataclass(frozen=True)
class Triple:
    """A base instance, its poison and their difference as pictures, with what is known of them below.

    Attributes:
        images: The three pictures.
        title: What they are of.
        captions: Lines below them.
    """

    images: tuple[Picture, ...]
    title: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A small table of texts, the first column names, the others numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of the page: tables, pictures or pairs, or the sentence that says why there are none.

    Attributes:
        title: Headline.
        text: What is to be seen.
        pictures: Pictures.
        triples: Base/poison pairs.
        missing: Why there is nothing to show; empty where there is.
        grids: Tables, above the pictures.
    """

    title: str
    text: str = ""
    pictures: tuple[Picture, ...] = ()
    triples: tuple[Triple, ...] = ()
    missing: str = ""
    grids: tuple[Grid, ...] = ()


@dataclass(frozen=True)
class Listing:
    """Something long that opens on a click: a text, or a table of texts with its header."""

    title: str
    text: str = ""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Results:
    """The table of results at the top of a page, and what belongs under it, all of it texts.

    Attributes:
        header: Titles, each with whether its values stand to the right.
        rows: Of each value its lines: itself, its spread, and a paper's figure; empty where there is none.
        notes: Sentences to read the table by.
        tested: What the paired tests are of.
        tests: Of each paired test the two that it compares, seeds, the difference and the outcome.
    """

    header: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[tuple[str, str, str], ...], ...]
    notes: tuple[str, ...] = ()
    tested: str = ""
    tests: tuple[tuple[str, str, str, str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: Headline.
        subtitle: A line below it.
        note: A sentence that the reader must not miss; may be empty.
        tiles: Key numbers.
        results: The table of a study; None for a run.
        sections: Parts in order.
        listings: Details in order.
    """

    title: str
    subtitle: str
    note: str
    tiles: tuple[Tile, ...]
    results: Results | None
    sections: tuple[Section, ...]
    listings: tuple[Listing, ...]


def render_page(page: Page) -> str:
    """Render a page as one HTML file that asks for nothing else; every text in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(page=page, version=__version__)


def picture(data: bytes, alt: str, caption: str = "") -> Picture:
    """Put the bytes of a PNG image into the page, to be shown at half its pixels: sharp on dense screens too."""
    width = int.from_bytes(data[16:20], "big") // 2
    return Picture(f"data:image/png;base64,{base64.b64encode(data).decode()}", alt, width, caption)


def figure_picture(folder: Path, name: str, figure: Figure, alt: str, caption: str = "") -> Picture:
    """Put a figure into the page, and as ``figures/<name>.png`` into the folder that the page is of."""
    data = render(figure)
    files.write_bytes(folder / "figures" / f"{name}.png", data)
    return picture(data, alt, caption)


def image_triples(pairs: list[Pair]) -> tuple[Triple, ...]:
    """Show pairs of images as base, poison and amplified difference."""
    differences, factor = amplified(pairs)
    times = f"difference, {factor}-fold" if factor > 1 else "difference"
    triples = []
    for pair, difference in zip(pairs, differences, strict=True):
        images = (
            picture(png(pair.base.values), f"base instance, {pair.title}", "base"),
            picture(png(pair.poison.values), f"poison, {pair.title}", "poison"),
            picture(png(difference), "difference of poison and base", times),
        )
        triples.append(Triple(images, pair.title, (pair.change, pair.distances)))
    return tuple(triples)


def sound_triples(pairs: list[Pair]) -> tuple[Picture, tuple[Triple, ...]]:
    """Show pairs of clips as spectrograms of base, poison and difference, to listen to where they are short.

    Returns:
        The scale of the spectrograms' colours, and the pairs.
    """
    shown, scale = spectrograms(pairs)
    triples = []
    for pair, three in zip(pairs, shown, strict=True):
        base, poison, difference = (render(spectrogram_figure(one, scale)) for one in three)
        images = (
            _heard(picture(base, f"spectrogram of the base instance, {pair.title}", "base"), pair.base),
            _heard(picture(poison, f"spectrogram of the poison, {pair.title}", "poison"), pair.poison),
            picture(difference, "spectrogram of the difference of poison and base", "difference"),
        )
        triples.append(Triple(images, pair.title, (pair.change, pair.distances)))
    return picture(render(scale_figure(scale)), "scale of the spectrograms' colours"), tuple(triples)


def _heard(shown: Picture, clip: Saved) -> Picture:
    """Put a clip below its picture, or its name where it is too long to be in the page."""
    if len(clip.data) > LONGEST_SOUND:
        return replace(shown, caption=f"{shown.caption}: poisons/{clip.name}")
    return replace(shown, sound=f"data:audio/wav;base64,{base64.b64encode(clip.data).decode()}")


def flattened(value: Any, name: str = "") -> dict[str, str]:  # noqa: ANN401 - whatever the file holds
    """Flatten nested objects into texts by dotted name."""
    if not isinstance(value, dict):
        return {name: str(value)}
    flat: dict[str, str] = {}
    for key, inner in value.items():
        flat |= flattened(inner, f"{name}.{key}" if name else str(key))
    return flat
