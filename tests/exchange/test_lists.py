import json

import numpy as np
import pytest
import torch

from goldore.errors import ScoreFileError, UsageError
from goldore.exchange.importing import import_scores
from goldore.exchange.lists import list_stem, read_labels, read_list

VALUES = [0.5, 2.0, -1.25, 7.0]
OTHER = [9.0, 8.0, 7.0, 6.0]


def write(path, values=VALUES, name="EL2N"):
    if path.suffix == ".json":
        path.write_text(json.dumps(values))
    elif path.suffix == ".npy":
        np.save(path, np.array(values, dtype=np.float32))
    elif path.suffix == ".npz":
        np.savez(path, **{name: values})
    elif path.suffix == ".pt":
        torch.save(torch.tensor(values), path)
    elif path.suffix == ".csv":
        path.write_text(f"{name}\n" + "\n".join(map(str, values)))
    else:
        path.write_text("\n".join(map(str, values)))


@pytest.mark.parametrize("suffix", [".json", ".npy", ".npz", ".pt", ".csv", ".txt"])
def test_lists_of_every_kind_make_score_files(tmp_path, suffix):
    path = tmp_path / f"made_EL2N{suffix}"
    write(path)
    assert read_list(path).tolist() == VALUES
    file = import_scores(path, tmp_path / "made.h5", labels=[0, 1, 0, 1])
    assert file.scores["EL2N"].values.tolist() == VALUES
    assert file.dataset.name == "made"


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_a_folder_of_lists_of_other_kinds(tmp_path, suffix):
    for name, values in (("EL2N", VALUES), ("AUM", OTHER)):
        write(tmp_path / f"made_{name}{suffix}", values)
    file = import_scores(tmp_path, tmp_path / "made.h5", labels=[0, 1, 0, 1], name="made")
    assert {name: score.values.tolist() for name, score in file.scores.items()} == {
        "EL2N": VALUES,
        "AUM": OTHER,
    }


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".csv"])
def test_the_score_that_is_meant_is_taken_of_several(tmp_path, suffix):
    path = tmp_path / f"all{suffix}"
    if suffix == ".npz":
        np.savez(path, EL2N=VALUES, aum=OTHER)
    elif suffix == ".pt":
        torch.save({"EL2N": torch.tensor(VALUES), "aum": torch.tensor(OTHER)}, path)
    else:
        path.write_text("EL2N,aum\n" + "\n".join(f"{a},{b}" for a, b in zip(VALUES, OTHER, strict=True)))
    assert read_list(path, "AUM").tolist() == OTHER
    with pytest.raises(ScoreFileError, match="holds EL2N, aum, and no Forgetting"):
        read_list(path, "Forgetting")


def test_a_column_of_positions_orders_a_table(tmp_path):
    path = tmp_path / "made.csv"
    path.write_text("index,score\n" + "\n".join(f"{at},{VALUES[at]}" for at in (2, 0, 3, 1)))
    assert read_list(path).tolist() == VALUES
    path.write_text("index,score\n5,1\n6,2\n")
    with pytest.raises(ScoreFileError, match="does not number the samples 0 to 1"):
        read_list(path)


@pytest.mark.parametrize(
    "head",
    [",score", "Unnamed: 0,score", "sample_id,score", "sample_index,score", "image_id,EL2N", "idx, score",
     "score, index", "label,index,score", "class_id,id,AUM,score", "index,image_id,score"],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".csv", ".npz", ".pt"])
def test_positions_have_many_names(tmp_path, head, suffix):
    path, order = tmp_path / f"made{suffix}", [2, 0, 3, 1]
    given = {"score": [VALUES[at] for at in order], "EL2N": [VALUES[at] for at in order], "AUM": OTHER}
    given |= {"label": [0, 1, 0, 1], "class_id": [0, 1, 0, 1]}
    columns = {name: given.get(name.strip(), order) for name in head.split(",")}
    if suffix == ".csv":
        rows = zip(*columns.values(), strict=True)
        path.write_text(f"{head}\n" + "\n".join(",".join(map(str, row)) for row in rows))
    elif suffix == ".npz":
        np.savez(path, **{name or "index": values for name, values in columns.items()})
    else:
        torch.save({name: torch.tensor(values) for name, values in columns.items()}, path)
    assert read_list(path).tolist() == VALUES


IMAGES = ["cat/1.png", "cat/2.png", "dog/a b.png", "dog/3.png"]


@pytest.mark.parametrize("prefix", ["", "/data/train/", "train\\", "./"])
@pytest.mark.parametrize(
    "head", ["path,EL2N", "index,filename,score,label", "Unnamed: 0,image_path,EL2N,AUM"]
)
def test_paths_say_which_sample_is_meant(tmp_path, head, prefix):
    order = [2, 0, 3, 1]
    columns = {
        "path": [f"{prefix}{IMAGES[at]}" for at in order],
        "EL2N": [VALUES[at] for at in order],
        "index": range(4),  # the table's own rows
        "label": [0, 0, 1, 1],
        "AUM": OTHER,
    }
    known = {"filename": "path", "image_path": "path", "score": "EL2N", "Unnamed: 0": "index"}
    rows = zip(*(columns[known.get(name, name)] for name in head.split(",")), strict=True)
    path = tmp_path / "made_EL2N.csv"
    path.write_text(f"{head}\n" + "\n".join(",".join(map(str, row)) for row in rows))
    assert read_list(path, images=IMAGES).tolist() == VALUES


def test_names_of_files_are_enough_where_no_two_are_the_same(tmp_path):
    path = tmp_path / "made.csv"
    path.write_text(
        "file,score\n" + "\n".join(f"{IMAGES[at].partition('/')[2]},{VALUES[at]}" for at in (3, 1, 0, 2))
    )
    assert read_list(path, images=IMAGES).tolist() == VALUES
    with pytest.raises(ScoreFileError, match=r"names '3\.png', which is no image"):
        read_list(path, images=["cat/1.png", "dog/1.png", "dog/a b.png", "cat/2.png"])


def test_a_name_without_its_folder_is_enough_only_without_one(tmp_path):
    path = tmp_path / "made.csv"
    path.write_text("path,score\nother/1.png,1\ncat/2.png,2\ndog/a b.png,3\ndog/3.png,4\n")
    with pytest.raises(ScoreFileError, match=r"names 'other/1\.png', which is no image"):
        read_list(path, images=IMAGES)


def test_numbers_beside_paths_agree_with_them_or_are_those_of_the_rows(tmp_path):
    path, order = tmp_path / "made.csv", [2, 0, 3, 1]

    def write_with(numbers):
        rows = zip(numbers, (IMAGES[at] for at in order), (VALUES[at] for at in order), strict=True)
        path.write_text("id, path,score\n" + "\n".join(",".join(map(str, row)) for row in rows))

    for numbers in (order, range(4), ["a", "b", "c", "d"]):
        write_with(numbers)
        assert read_list(path, images=IMAGES).tolist() == VALUES
    write_with([1, 0, 2, 3])
    with pytest.raises(ScoreFileError, match="id numbers the samples otherwise than path names them"):
        read_list(path, images=IMAGES)
    write_with(order)  # where no paths are known, the numbers count
    assert read_list(path).tolist() == VALUES


@pytest.mark.parametrize(
    ("named", "part"),
    [
        (IMAGES[:3], "names 3 of 4 images, and dog/3.png is not among them"),
        ([*IMAGES, "cat/1.png"], "names cat/1.png twice"),
        ([*IMAGES[:3], "dog/4.png"], "names 'dog/4.png', which is no image of the dataset"),
    ],
)
def test_paths_that_do_not_fit_are_refused(tmp_path, named, part):
    path = tmp_path / "made.csv"
    path.write_text("path,score\n" + "\n".join(f"{each},1" for each in named))
    with pytest.raises(ScoreFileError, match=part):
        read_list(path, images=IMAGES)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("path,score\nb.png,1\na.png,2\n", "its column path names files; give the folder of images"),
        ("score,number\n1,1\n2,0\n", "what number means beside score is not known"),
        ("index,image_id,score\n0,1,1\n1,0,2\n", "index and image_id both number the samples"),
        ("index,score,value\n0,1,1\n1,0,2\n", "score and value, which may both be"),
    ],
)
def test_columns_that_are_not_understood_are_refused(tmp_path, text, part):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ScoreFileError, match=part):
        read_list(tmp_path / "a.csv")


def test_empty_cells_are_missing(tmp_path):
    (tmp_path / "a.csv").write_text("index,score\n0,1\n1,\n")
    assert np.isnan(read_list(tmp_path / "a.csv")[1])


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.npy", np.zeros((2, 2)), "shape (2, 2)"),
        ("a.npy", np.array(["x"]), "<U1"),
        ("a.npy", np.array([1.0, np.inf]), "finite"),
        ("a.csv", "score\nhigh\n", "could not convert"),
        ("a.csv", "", "holds nothing"),
        ("a.txt", "1 x", "could not convert"),
        ("a.xlsx", "1", "no known suffix"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, name, content, part):
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    else:
        np.save(path, content)
    with pytest.raises(ScoreFileError) as caught:
        read_list(path)
    assert part in str(caught.value)


def test_pickles_are_not_read(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ScoreFileError, match="pickles and never read"):
        read_list(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("name", "stem"),
    [("m_EL2N.json.gz", "m_EL2N"), ("m_EL2N.json", "m_EL2N"), ("m_AUM.csv", "m_AUM"), ("m.h5", "m")],
)
def test_stems(tmp_path, name, stem):
    assert list_stem(tmp_path / name) == stem


@pytest.mark.parametrize("content", ["cat\ndog\ncat\ndog\n\n", "4\n7\n4\n7"])
def test_labels_may_be_names_or_any_numbers(tmp_path, content):
    (tmp_path / "labels.txt").write_text(content)
    np.save(tmp_path / "made_EL2N.npy", VALUES)
    labels = read_labels(tmp_path / "labels.txt")
    file = import_scores(tmp_path / "made_EL2N.npy", tmp_path / "made.h5", labels=labels)
    assert file.labels.tolist() == [0, 1, 0, 1]
    assert file.dataset.class_names == tuple(content.split()[:2])


def test_labels_in_a_column_are_read_as_everywhere(tmp_path):
    np.save(tmp_path / "labels.npy", np.array([[1], [0], [1], [0]]))
    np.save(tmp_path / "made_EL2N.npy", VALUES)
    labels = read_labels(tmp_path / "labels.npy")
    assert import_scores(tmp_path / "made_EL2N.npy", tmp_path / "m.h5", labels=labels).labels.tolist() == [
        1,
        0,
        1,
        0,
    ]


def test_an_empty_line_among_labels_is_refused(tmp_path):
    (tmp_path / "labels.txt").write_text("0\n\n1\n")
    with pytest.raises(UsageError, match="a line is empty"):
        read_labels(tmp_path / "labels.txt")
