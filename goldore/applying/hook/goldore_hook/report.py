"""What became of an index, from the log of all processes."""

import json

_MOST = 10  # lines on datasets that were left alone


class Report:
    """What became of an index.

    Attributes:
        well: whether it was applied, without a fault.
        hooked: whether there was a Python process that could have applied it.
        seen: whether there was a dataset or a fault.
        lines: to print.
    """

    def __init__(self, well, hooked, seen, lines):
        self.well, self.hooked, self.seen, self.lines = well, hooked, seen, lines


def report(log, index=None):
    """Say what became of an index.

    Args:
        log: path of the log.
        index: the index; None if it could not be read.
    """
    try:
        with open(log, encoding="ascii") as file:
            events = [json.loads(line) for line in file if line.endswith("\n")]
    except OSError:
        events = []
    applied = [each for each in events if each["event"] == "applied"]
    done = {(each["process"], each["key"]) for each in applied}
    faults = list(
        dict.fromkeys(
            each["why"]
            for each in events
            if each["event"] == "refused"
            or (each["event"] == "missed" and (each["process"], each["key"]) not in done)
        )
    )
    seen = list({_about(each): each for each in events if each["event"] == "seen"}.values())
    shas = list(dict.fromkeys(each["sha"] for each in applied))
    lines = [_applied(sha, [each for each in applied if each["sha"] == sha]) for sha in shas]
    alike = [each for each in seen if each["close"] and applied]
    lines += ["goldore: left alone: " + _seen(each) for each in alike[:_MOST]]
    lines += ["goldore: left alone: %d more of as many samples" % (len(alike) - _MOST)] * (len(alike) > _MOST)
    if len(shas) > 1:
        faults.append("the index changed while the program ran, so that its parts used different samples.")
    lines += ["goldore: error: " + each for each in faults]
    if seen and index is not None and not faults and not applied:
        lines.append(
            "goldore: error: nothing that the program read has the labels of the %d samples of %s in their "
            "order, so the index was not applied. It read:" % (index.size, index.name)
        )
        lines += ["  " + _seen(each) for each in seen]
    return Report(bool(applied) and not faults, bool(events), bool(applied or seen or faults), lines)


def _about(event):
    return tuple(event[name] for name in ("what", "length", "digest", "why"))


def _applied(sha, events):
    processes = len({each["process"] for each in events})
    where = []
    for what in dict.fromkeys(each["what"] for each in events):
        times = sum(each["what"] == what for each in events)
        where.append(what if times == 1 else "%s (%d times)" % (what, times))
    return "goldore: kept %d of %d samples in %s%s, index %s" % (
        events[0]["kept"],
        events[0]["size"],
        " and ".join(where),
        ", in %d processes" % processes if processes > 1 else "",
        sha,
    )


def _seen(event):
    return "%s, %s samples: %s%s" % (
        event["what"],
        event["length"] if event["length"] >= 0 else "unknown",
        event["why"],
        " (digest of labels %s)" % event["digest"][:12] if event["digest"] else "",
    )
