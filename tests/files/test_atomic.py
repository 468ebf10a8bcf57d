import errno
import os
from contextlib import nullcontext

import pytest

from goldore.errors import GoldoreError
from goldore.files.atomic import check_space, check_writable, replacing


def test_the_target_changes_only_when_the_block_ends_well(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")

    def write_half():
        with replacing(target) as temporary:
            temporary.write_text("half")
            assert target.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_text() == "old"
    with replacing(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_the_file_gets_the_usual_mode(tmp_path):
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "made") as temporary:
        temporary.touch()
    assert (tmp_path / "made").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_folders_are_made_and_unfit_targets_refused(tmp_path):
    check_writable(tmp_path / "a" / "b" / "file")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "plain").touch()
    with pytest.raises(GoldoreError, match="cannot write to the folder"):
        check_writable(tmp_path / "plain" / "file")
    with pytest.raises(GoldoreError, match="is a folder"):
        check_writable(tmp_path / "a")


@pytest.mark.parametrize(
    ("code", "refused"), [(errno.ENOSPC, True), (errno.EFBIG, True), (errno.EOPNOTSUPP, False)]
)
def test_only_a_lack_of_space_is_refused_not_of_the_call(tmp_path, monkeypatch, code, refused):
    def fail(*_):
        raise OSError(code, "no")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(OSError, match="no") if refused else nullcontext():
        check_space(tmp_path / "file", 10)
