"""Write the pictures of docs/fashion-mnist.md from its score file.

python docs/figures/write_figures.py fashion.h5 /usr/share/datasets/fashion-mnist
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

import goldore
from goldore.report import summarize
from goldore.report.figures import draw, write_figures
from goldore.report.images import find_images
from goldore.report.kept import select
from goldore.report.material import Material

HERE = Path(__file__).parent
WIDTH, COLOURS = 840, 128  # twice as many pixels as a figure is wide on a page
SHOWN = (
    "distribution-LossConverge",
    "gallery-LossConverge",
    "kept-LossConverge_large-keep_ratio0.1-class",
    "kept-LossConverge_large-keep_ratio0.1-global",
    "loss-curves",
    "pair-LossInit-LossConverge",
    "pair-LossConverge-MonteCarlo",
    "reliability-LossConverge",
    "reliability-MonteCarlo",
)


def main(path: str, dataset: str) -> None:
    """Draw, make small, and write."""
    file = goldore.load_scores(path)
    images, _ = find_images(file, dataset, Path("data"))
    kept = (
        select(file, "LossConverge_large", keep_ratio="0.1"),
        select(file, "LossConverge_large", keep_ratio="0.1", scope="global"),
    )
    drawings = draw(Material(file=file, summary=summarize(file, curves=True), kept=kept, images=images))
    with tempfile.TemporaryDirectory() as folder:
        write_figures(Path(folder), [each for each in drawings if each.name in SHOWN])
        for name in SHOWN:
            with Image.open(Path(folder) / f"{name}.png") as drawn:
                small = drawn.convert("RGB").resize((WIDTH, round(WIDTH * drawn.height / drawn.width)))
            small.quantize(COLOURS).save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
