"""The function that `goldore plug` writes into a clone, as it stands there.

It is pasted as text, so it needs nothing of goldore, runs on every Python 3 and every NumPy that a clone may
pin, and keeps its imports to itself: an `import os` beside the clone's own code would hide the clone's `os` from
the rest of the function that it stands in.
"""


def goldore_keep(data):
    import hashlib
    import json
    import os

    import numpy as np

    def check(good, text):
        if not good:
            raise SystemExit("goldore: %s: %s" % (path, text))

    path = os.environ.get("GOLDORE_INDEX")
    if not path:
        return None
    check(path.endswith(".npy") and os.path.isfile(path), "there is no such .npy index file")
    check(os.path.isfile(path + ".json"), "its side-car %s.json is missing; copy both" % path)
    keep = np.load(path, allow_pickle=False)
    with open(path + ".json") as file:
        about = json.load(file)
    digest = hashlib.sha256(keep.astype("<i8").tobytes()).hexdigest()
    check(digest == about.get("sha256"), "it and its side-car belong to different selections")
    check("labels_sha256" in about, "its side-car has no labels_sha256; write it again with goldore prune")
    for name in ("labels", "targets"):
        data = getattr(data, name, data)
    items = (data[i] for i in range(len(data)))
    labels = np.array([int(item[1] if isinstance(item, (tuple, list)) else item) for item in items])
    classes, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    codes = np.argsort(np.argsort(first))[codes]  # classes in the order they appear, whatever their numbers
    check(
        len(labels) == about["num_samples"],
        "it is about the %d samples of %s, and here are %d"
        % (about["num_samples"], about["dataset"], len(labels)),
    )
    check(
        hashlib.sha256(codes.astype("<i8").tobytes()).hexdigest() == about["labels_sha256"],
        "the labels here are not those of %s, or stand in another order" % about["dataset"],
    )
    least = min(int((labels[keep] == name).sum()) for name in classes)
    print(
        "goldore: kept %d of %d samples, at least %d of each class, index %s"
        % (len(keep), len(labels), least, digest[:12]),
        flush=True,
    )
    return keep
