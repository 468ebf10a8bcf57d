"""The function that `goldore plug` writes into a clone, as it stands there.

It is pasted as text, so it needs nothing of goldore, runs on every Python 3 and every NumPy that a clone may
pin, and keeps its imports to itself: an `import os` beside the clone's own code would hide the clone's `os` from
the rest of the function that it stands in.
"""
# fmt: off


def goldore_keep(data):
    import hashlib, json, os, numpy as np
    path = os.environ.get("GOLDORE_INDEX")
    if not path:
        return None
    def check(good, text):
        if not good:
            raise SystemExit("goldore: %s: %s" % (path, text))
    def sha256(numbers):
        return hashlib.sha256(numbers.astype("<i8").tobytes()).hexdigest()
    check(path.endswith(".npy") and os.path.isfile(path), "there is no such .npy index file")
    check(os.path.isfile(path + ".json"), "its side-car .json is missing; copy both")
    keep = np.load(path, allow_pickle=False)
    with open(path + ".json") as file:
        about = json.load(file)
    check(sha256(keep) == about.get("sha256"), "it and its side-car belong to different selections")
    check("labels_sha256" in about, "its side-car is old; write it again with goldore prune")
    size = about["num_samples"]
    check(keep.dtype == np.int64 and keep.ndim == 1 and len(keep) and 0 <= keep[0] and keep[-1] < size
          and (keep[1:] > keep[:-1]).all(), "its positions are not ascending numbers from 0 to %d" % (size - 1))
    base, at = data, keep
    if hasattr(data, "indices") and hasattr(data, "dataset"):  # a torch Subset
        base, at = data.dataset, np.asarray(data.indices)[keep[keep < len(data)]]
    files = getattr(base, "samples", getattr(base, "image_paths", None))
    for name in ("labels", "targets"):
        data = getattr(data, name, data)
    labels = np.array([int(item[1] if isinstance(item, (tuple, list)) else item)
                       for item in (data[i] for i in range(len(data)))])
    _, first, code = np.unique(labels, return_index=True, return_inverse=True)
    code = np.argsort(np.argsort(first))[code]  # classes in the order they appear, whatever their numbers
    name = about["dataset"]
    check(len(labels) == size, "it is about the %d samples of %s, and here are %d" % (size, name, len(labels)))
    check(sha256(code) == about["labels_sha256"],
          "the labels here are not those of %s, or stand in another order" % name)
    if files is not None and "paths" in about:  # labels alone do not tell the order within a class
        here = [str(files[i][0] if isinstance(files[i], tuple) else files[i]).replace(os.sep, "/") for i in at]
        check(all(os.path.splitext("/" + one)[0].endswith("/" + os.path.splitext(two)[0])
                  for one, two in zip(here, about["paths"])),
              "the files here are not those of %s, or stand in another order" % about["dataset"])
    print("goldore: kept %d of %d samples, at least %d of each class, index %s"
          % (len(keep), size, np.bincount(code[keep], minlength=len(first)).min(), sha256(keep)[:12]), flush=True)
    return keep
