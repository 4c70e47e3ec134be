"""Looking for settings on validation, one setting at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from avrec.matching.selection import SELECT_K

Settings = dict[str, float]
TARGET = f"ndcg@{SELECT_K}"


def by_coordinates(
    start: Mapping[str, float], grid: Mapping[str, Sequence[float]], judge: Callable[[Settings], float]
) -> tuple[Settings, list[Settings]]:
    """The best settings found by trying all values of one setting while the others stay, setting after setting.

    So many trials as there are values, not their product: less is fitted to the few people that judge. Equal figures
    keep what was tried first.

    Args:
        start: A value of every setting; tried first.
        grid: Values of each setting that is looked for, in the order in which they are.
        judge: Figure of some settings; higher is better.

    Returns:
        The best settings, and every trial with its figure under `TARGET`.
    """
    best = dict(start)
    value = judge(best)
    trials = [{**best, TARGET: value}]
    for name, values in grid.items():
        fixed = dict(best)
        for candidate in values:
            settings = {**fixed, name: candidate}
            if any(all(trial[key] == settings[key] for key in settings) for trial in trials):
                continue
            found = judge(settings)
            trials.append({**settings, TARGET: found})
            if found > value:
                best, value = settings, found
    return best, trials
