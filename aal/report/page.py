"""A report's page: its parts as plain values, and the one HTML file that they become."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import jinja2
from matplotlib.figure import Figure

from aal import __version__
from aal.report.pair_figures import amplified, png, scale_figure, spectrogram_figure, spectrograms
from aal.report.pairs import Pair, Saved
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

    One with none of them, or with tables of no row alone, is left out of the page.

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


def render_page(
    title: str,
    subtitle: str,
    note: str,
    tiles: Iterable[Tile],
    sections: Iterable[Section],
    listings: Iterable[Section],
    results: Results | None = None,
) -> str:
    """Render a report as one HTML file that asks for nothing else; every text in it is escaped.

    Args:
        title: Headline.
        subtitle: A line below it.
        note: A sentence that the reader must not miss; may be empty.
        tiles: Key numbers.
        sections: Parts in order.
        listings: Details in order, each a long text or tables, which opens on a click; an empty one is left out.
        results: The table of a study; None for a run.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        title=title,
        subtitle=subtitle,
        note=note,
        tiles=tuple(tiles),
        sections=sections,
        listings=listings,
        results=results,
        version=__version__,
    )


def picture(data: bytes, alt: str, caption: str = "") -> Picture:
    """Put the bytes of a PNG image into the page, to be shown at half its pixels: sharp on dense screens too."""
    width = int.from_bytes(data[16:20], "big")
    return Picture(f"data:image/png;base64,{base64.b64encode(data).decode()}", alt, width // 2, caption)


def saved_picture(path: Path, alt: str, caption: str = "") -> tuple[Picture, ...]:
    """Put a PNG image into the page, where there is such a file."""
    return (picture(path.read_bytes(), alt, caption),) if path.is_file() else ()


def figure_picture(
    folder: Path, name: str, figure: Figure | None, text: str, *, captioned: bool = True
) -> tuple[Picture, ...]:
    """Put a figure into the page, and as ``figures/<name>.png`` into the folder that the page is of.

    Args:
        folder: The folder.
        name: The figure's name.
        figure: The figure; None where there is nothing to draw, and then no picture either.
        text: What it shows.
        captioned: Whether the text stands below it.
    """
    if figure is None:
        return ()
    data = render(figure)
    files.write_bytes(folder / "figures" / f"{name}.png", data)
    return (picture(data, text, text if captioned else ""),)


def triples(pairs: list[Pair]) -> tuple[tuple[Picture, ...], tuple[Triple, ...]]:
    """Show pairs as base, poison and difference: images, or spectrograms of clips, to listen to where they are short.

    Returns:
        The scale of the spectrograms' colours, none for images; and the pairs.
    """
    if pairs[0].is_sound:
        shown, colours = spectrograms(pairs)
        drawn = [tuple(render(spectrogram_figure(one, colours)) for one in three) for three in shown]
        scale = [picture(render(scale_figure(colours)), "scale of the spectrograms' colours")]
        kind, times = "spectrogram of the ", "difference"
    else:
        differences, factor = amplified(pairs)
        drawn = [
            tuple(png(image) for image in (pair.base.values, pair.poison.values, difference))
            for pair, difference in zip(pairs, differences, strict=True)
        ]
        scale, kind, times = [], "", f"difference, {factor}-fold" if factor > 1 else "difference"
    found = []
    for pair, (base, poison, difference) in zip(pairs, drawn, strict=True):
        images = (
            _heard(picture(base, f"{kind}base instance, {pair.title}", "base"), pair.base),
            _heard(picture(poison, f"{kind}poison, {pair.title}", "poison"), pair.poison),
            picture(difference, f"{kind}difference of poison and base", times),
        )
        found.append(Triple(images, pair.title, (pair.change, pair.distances)))
    return tuple(scale), tuple(found)


def _heard(shown: Picture, saved: Saved) -> Picture:
    """Put a clip below its picture, or its name where it is too long to be in the page."""
    if saved.sample_rate is None:
        return shown
    if len(saved.data) > LONGEST_SOUND:
        return replace(shown, caption=f"{shown.caption}: poisons/{saved.name}")
    return replace(shown, sound=f"data:audio/wav;base64,{base64.b64encode(saved.data).decode()}")
