"""Compare a score of a score file with a published list: Spearman's correlation within each class.

The list is a JSON list in the dataset's original order, gzipped or not, as the repository of arXiv 2305.18381
publishes them (`drop_utils/resource/MNIST_LossConverge.json`).
"""

import argparse
import gzip
import json
from pathlib import Path

import numpy as np

from goldore import load_scores
from goldore.estimators import class_members, spearman


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="a score file")
    parser.add_argument("published", type=Path, help="a JSON list, .json or .json.gz")
    parser.add_argument("--score", default="LossConverge")
    arguments = parser.parse_args()
    content = arguments.published.read_bytes()
    text = gzip.decompress(content) if arguments.published.suffix == ".gz" else content
    published = np.array(json.loads(text), dtype=np.float64)
    file = load_scores(arguments.file)
    values = file.scores[arguments.score].values
    if len(published) != len(values):
        parser.error(f"{arguments.file} has {len(values)} samples but {arguments.published} {len(published)}")
    members = class_members(file.labels, file.dataset.num_classes)
    within = [spearman(values[positions], published[positions]) for positions in members]
    for name, correlation in zip(file.dataset.class_names, within, strict=True):
        print(f"class {name:12} {correlation:.3f}")
    print(f"mean within class  {np.mean(within):.3f}")
    print(f"over all samples   {spearman(values, published):.3f}")


if __name__ == "__main__":
    main()
