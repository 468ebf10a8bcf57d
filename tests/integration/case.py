"""What it takes to run one distillation repository for a few iterations on a CPU, and to see what it reads.

Each module in repos/ holds its cases as `CASES: tuple[Case, ...]`. Nothing here is code of those repositories
beyond the single lines that have to be found in them.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Swap:
    """A text that stands exactly once in a file (or `count` times), and what replaces it.

    Attributes:
        file: path in the clone.
        old: the text, line ends as "\\n" (a file's own are kept).
        new: what stands there instead.
        why: in a few words, as the docs give it.
        count: how often `old` stands there.
    """

    file: str
    old: str
    new: str
    why: str
    count: int = 1


@dataclass(frozen=True)
class Stage:
    """One command of a method.

    Attributes:
        name: for example "buffer".
        command: the script (or -m module) and its arguments for run_on_cpu.py, after --cuda-to-cpu where that
            is needed; {data} is the data folder.
        success: a text that its output must hold, where the exit code proves nothing.
        folder: of the clone in which it is run.
    """

    name: str
    command: str
    success: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Case:
    """A repository to run.

    Attributes:
        repository: name for `goldore plug`.
        folder: of the clone in the folder of clones.
        commit: at which this was tried.
        data: which made dataset: "mnist" (torchvision's layout), "cifar10", "cifar100", "folder" (PNG files
            in train/ and val/, which is test/ too), "numbered_folder" (class folders 00000, 00001, ...) or
            "tfds-mnist".
        stages: in order.
        edits: the smallest changes without which it does not run on a CPU; kept outside the plug.
        probes: lines that record what is read, through `goldore_probe.record` or `.watch`; applied after the
            edits.
        environment: environment variables.
        python: name of the environment variable that names the interpreter to use; the tests' own without it.
        keep_ratio: of the index.
        ways: in which an index gets into it: "plug", "run" and "tree", a pruned folder tree.
        refusal: a text that `goldore run` says where it cannot serve it.
        refits: whether it fits statistics (ZCA) to what it reads, so that pixels differ by the way.
        without: paths of the clone that are not copied: large files, which partial clones lack.
    """

    repository: str
    folder: str
    commit: str
    data: str
    stages: tuple[Stage, ...]
    edits: tuple[Swap, ...] = ()
    probes: tuple[Swap, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    python: str = "GOLDORE_CLONES_PYTHON"
    keep_ratio: str = "0.3"
    ways: tuple[str, ...] = ("plug", "run")
    refusal: str = ""
    refits: bool = False
    without: tuple[str, ...] = ()
