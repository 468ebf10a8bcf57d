"""Write the pages of the repositories from the catalogue, so that they match the code.

    python docs/repositories/write_pages.py

What was seen when they were run is in seen.json beside this script.
"""

import json
from pathlib import Path

from goldore.repositories import REPOSITORIES, Repository
from goldore.repositories.limits import commands
from goldore.repositories.model import Edit, Need, Settings
from goldore.repositories.plug import block_lines

HERE = Path(__file__).resolve().parent
_EXAMPLE_IPC = 10
_GENERATED = "<!-- written by write_pages.py -->"


def pages() -> dict[str, str]:
    """File name to content, README.md included."""
    seen = json.loads((HERE / "seen.json").read_text(encoding="utf-8"))
    made = {f"{each.name}.md": _page(each, seen.get(each.name, {})) for each in REPOSITORIES.values()}
    return {**made, "README.md": _index(seen)}


def _page(repository: Repository, seen: dict[str, str]) -> str:
    settings = Settings(_EXAMPLE_IPC, repository.batch_real, repository.factor)
    dataset = next(iter(repository.datasets), "DATASET")
    lines = [_GENERATED, f"# {repository.title}", ""]
    lines += [
        f"[{repository.url}](https://{repository.url}), read at commit `{repository.commit}`.",
        "",
    ]
    way = repository.ways[0]
    options = f"--for {repository.name} --ipc {settings.ipc}"
    prune = "goldore prune SCORES.h5 --criterion LossConverge_large --keep-ratio 0.1 " + options
    prune += " --order tfds --data-root DATA_DIR" if repository.order else ""
    if way == "run":
        block = [f"{prune} --out keep.npy", "cd CLONE"]
    elif way == "plug":
        block = [f"{prune} --out keep.npy", *_plug(repository)]
    else:
        block = [f"{prune} --as-folder CLONE/data/SUBSET"]
        lines += ["It reads a folder tree by itself, so give it a pruned one.", ""]
    block += commands(repository, dataset, settings, "INDEX", "/path/to/keep.npy" if way == "run" else "")
    lines += ["```sh", *block, "```", ""]
    if repository.door:
        lines += [
            f"`goldore run` reaches its training set through {repository.door}. {repository.refits}".rstrip(),
            "",
        ]
    lines += ["## Does it pay?", "", *_pays(repository, way, settings, seen), ""]
    if repository.edits:
        if way == "run":
            lines += ["## With the plug", ""]
            lines += [
                "Instead of `goldore run`, the clone can be edited; then its commands stay as they are:",
                "",
            ]
            lines += ["```sh", *_plug(repository), "```", ""]
        lines += ["What `goldore plug` adds ([the function](README.md#the-block) is omitted here):", ""]
        for edit in repository.edits:
            lines += [f"`{edit.file}`, {edit.place}:", "", "```diff", *_diff(edit, repository), "```", ""]
    lines += [f"## Samples it needs (with --ipc {settings.ipc} and its defaults)", ""]
    lines += [f"- {_need(need)}" for need in dict.fromkeys(repository.needs(settings))]
    lines += [
        "",
        "`goldore prune --for` refuses what would fail or silently go wrong, and warns about the rest.",
        "",
    ]
    if repository.traps or repository.caches:
        lines += ["## Traps", "", *(f"- {each}" for each in repository.traps)]
        lines += [f"- {repository.caches}"] * bool(repository.caches)
        lines += [""]
    lines += ["## What was verified", ""]
    unedited = seen.get("unedited", ())
    if unedited:
        lines += [
            "By `goldore run`, on a CPU with made-up data, without another edit than is needed for that:",
            "",
        ]
        lines += [f"- {each['run']}: {each['seen']} ({each['when']})." for each in unedited]
        lines += [""]
    if repository.edits or not unedited:
        lines += [seen.get("page", _NOT_RUN if repository.edits else _READ), ""]
    return "\n".join(lines)


def _pays(repository: Repository, way: str, settings: Settings, seen: dict[str, str]) -> list[str]:
    """What was measured of pruning with the repository, and how to measure it."""
    measured = seen.get("pays", _NOT_MEASURED)
    if way == "folder tree":
        return [measured]
    metric = "" if repository.metric else " --metric REGEX"
    plugged = " --plugged" if way == "plug" else ""
    how = (
        f"{measured} `goldore study` runs it on all data, random samples and the criteria that you name, and "
        "compares the accuracies that it prints ([more](../study.md#any-repository)). COMMAND is the one "
        "that distils and prints an accuracy, with `{name}` in the names of folders that must be new "
        "for each run:"
    )
    command = (
        f"goldore study SCORES.h5 --for {repository.name} --ipc {settings.ipc} "
        f"--criterion LossConverge_large --keep-ratio 0.1{plugged}{metric} -- COMMAND"
    )
    return [how, "", "```sh", "cd CLONE", command, "```"]


def _plug(repository: Repository) -> list[str]:
    return [
        f"goldore plug {repository.name} CLONE",
        "cd CLONE",
        "export GOLDORE_INDEX=/path/to/keep.npy",
    ]


_NOT_MEASURED = "Not known: no distillation of pruned data was measured with this repository."


_NOT_RUN = (
    "The plug was inserted at this commit, compiled and removed again, byte for byte. What the repository "
    "reads was traced in its source. It was not run."
)


_READ = "How it reads its folders was traced in its source. It was not run."


def _need(need: Need) -> str:
    many = f"{need.count} of each class" if need.of == "class" else f"{need.count} in all"
    return f"{many}{'' if need.refuse else ' (warning)'}: below that {need.effect}."


def _diff(edit: Edit, repository: Repository) -> list[str]:
    block = block_lines(edit, repository)
    if edit.refuses:
        short = block
    else:
        start = next(at for at, line in enumerate(block) if "def goldore_keep" in line)
        end = next(at for at, line in enumerate(block) if "goldore_index = goldore_keep(" in line)
        inner = " " * (len(block[start]) - len(block[start].lstrip()) + 4)
        short = [*block[: start + 1], f"{inner}...", *block[end:]]
    return [*(f"+{line}" for line in short), *(f" {line}" for line in edit.anchor)]


def _index(seen: dict[str, dict[str, str]]) -> str:
    text = (HERE / "README.in").read_text(encoding="utf-8")
    plugged = next(each for each in REPOSITORIES.values() if each.edits)
    block = block_lines(plugged.edits[0], plugged)
    rows = ["| name | method | repository, commit | how | page |", "|---|---|---|---|---|"]
    for each in REPOSITORIES.values():
        how = ", ".join(each.ways)
        where = each.url.removeprefix("github.com/")
        rows.append(
            f"| `{each.name}` | {each.title} | {where} `{each.commit}` | {how} | "
            f"[{each.name}.md]({each.name}.md) |"
        )
    unedited = ["| repository | reached through | run | what was seen | traps |", "|---|---|---|---|---|"]
    for name, about in seen.items():
        door, trap = (
            REPOSITORIES[name].door or f"(use its {REPOSITORIES[name].ways[0]})",
            about.get("trap", ""),
        )
        unedited += [
            f"| `{name}` | {door} | {row['run']} ({row['when']}) | {row['seen']} | {trap} |"
            for row in about.get("unedited", ())
        ]
    table = ["| repository | run | what was seen | date, device |", "|---|---|---|---|"]
    for name, about in seen.items():
        table += [
            f"| `{name}` | {row['run']} | {row['seen']} | {row['when']} |" for row in about.get("runs", ())
        ]
    return f"{_GENERATED}\n" + (
        text.replace("{{repositories}}", "\n".join(rows))
        .replace("{{unedited}}", "\n".join(unedited))
        .replace("{{block}}", "\n".join(block))
        .replace("{{runs}}", "\n".join(table))
    )


if __name__ == "__main__":
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")
