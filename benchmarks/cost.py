"""What scoring the losses of a training set costs, from measured rates: trials, hours, memory, file size.

    python benchmarks/cost.py --trained 159 --scored 485

The rates are images a second of one device, over all networks that it trains at once, as `make bench` and
`make bench-gpu` print them for the shape. Nothing else is assumed: trials are independent, so D devices train
D ensembles at once, and the last round is as long as any other.
"""

import argparse
import math

_SCORES = 2  # LossInit and LossConverge


def main() -> None:
    """Print the plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trained", type=float, required=True, help="images trained a second on one device")
    parser.add_argument("--scored", type=float, required=True, help="images scored a second on one device")
    parser.add_argument("--samples", type=int, default=1_281_167, help="N (default: ImageNet-1K's)")
    parser.add_argument("--shape", default="3x64x64", help="of an image (default: 3x64x64)")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--passes", type=int, default=10, help="scoring passes (default: 5 early, 5 late)")
    parser.add_argument("--trials", type=int, nargs="+", default=[5, 8, 64])
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--at-once", type=int, default=1, help="networks that the rates were measured with")
    given = parser.parse_args()
    one = given.samples * (given.epochs / given.trained + given.passes / given.scored) * given.at_once / 3600
    pixels = given.samples * math.prod(map(int, given.shape.split("x"))) / 1e9
    print(f"a round of {given.at_once} trials on one device: {one:,.1f} hours; images: {pixels:.1f} GB")
    print("| trials | file | " + " | ".join(f"{count} devices" for count in given.devices) + " |")
    print("|---" * (2 + len(given.devices)) + "|")
    for trials in given.trials:
        size = given.samples * (12 + _SCORES * (24 + 4 * trials)) / 1e9
        hours = [math.ceil(trials / (count * given.at_once)) * one for count in given.devices]
        print(f"| {trials} | {size:.2f} GB | " + " | ".join(f"{each:,.0f} h" for each in hours) + " |")


if __name__ == "__main__":
    main()
