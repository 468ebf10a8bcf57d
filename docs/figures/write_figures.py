"""Write the pictures of docs/fashion-mnist.md from its score file.

python docs/figures/write_figures.py fashion.h5 /usr/share/datasets/fashion-mnist
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import goldore
from goldore.report import summarize
from goldore.report.figures import draw, write_figures
from goldore.report.images import Images, find_images
from goldore.report.kept import select
from goldore.report.material import Material
from goldore.report.ranks import Ranked

HERE = Path(__file__).parent
WIDTH, COLOURS = 840, 128  # twice as many pixels as a figure is wide on a page
SHOWN = (
    "distribution-LossConverge",
    "kept-LossConverge_large-keep_ratio0.1-class",
    "kept-LossConverge_large-keep_ratio0.1-global",
    "loss-curves",
    "pair-LossInit-LossConverge",
    "pair-LossConverge-MonteCarlo",
    "reliability-LossConverge",
    "reliability-MonteCarlo",
)
SCOPES = ("class", "global")
EACH, SCALE, GAP = 10, 2, 4


def gallery(file: goldore.ScoreFile, images: Images, name: str) -> Image.Image:
    """A row a class: the samples with the lowest score, then those with the highest."""
    ranked = Ranked.of(file.scores[name].values, file.labels, file.dataset.num_classes)
    rows = []
    for start, stop in zip(ranked.bounds[:-1], ranked.bounds[1:], strict=True):
        members = ranked.by_class[start:stop]
        tiles = images(np.concatenate([members[:EACH], members[-EACH:][::-1]]))[:, 0]
        low, high = (np.hstack(list(part)) for part in (tiles[:EACH], tiles[EACH:]))
        rows.append(np.hstack([low, np.full((len(low), GAP), 255, np.uint8), high]))
    drawn = Image.fromarray(np.vstack(rows))
    return drawn.resize((SCALE * drawn.width, SCALE * drawn.height), Image.Resampling.NEAREST)


def main(path: str, dataset: str) -> None:
    """Draw, make small, and write."""
    file = goldore.load_scores(path)
    kept = tuple(select(file, "LossConverge_large", keep_ratio="0.1", scope=scope) for scope in SCOPES)
    drawings = draw(Material(file=file, summary=summarize(file), kept=kept))
    with tempfile.TemporaryDirectory() as folder:
        write_figures(Path(folder), [each for each in drawings if each.name in SHOWN])
        for name in SHOWN:
            with Image.open(Path(folder) / f"{name}.png") as drawn:
                small = drawn.convert("RGB").resize((WIDTH, round(WIDTH * drawn.height / drawn.width)))
            small.quantize(COLOURS).save(HERE / f"{name}.png", optimize=True)
    images, why_not = find_images(file, dataset, Path("data"))
    if images is None:
        sys.exit(why_not)
    gallery(file, images, "LossConverge").quantize(32).save(HERE / "gallery-LossConverge.png", optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
