"""Makes the previous champion the champion again: `python -m pipelines.rollback LEAVING WHO WHY`.

Hands back the day whose table is to be published anew: the newest in force, or today where nothing was ever published.
Once more with the same LEAVING does nothing.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from avrec.errors import RegistryError
from avrec.recommend.publication import Publisher
from avrec.registry.promotion import rollback
from pipelines.stage import effect, result


def work() -> None:
    leaving, who, why = sys.argv[1:4]
    if not leaving:
        raise RegistryError("leaving: say which version is to be taken back; `avrec models list` shows the champion.")
    if not who:
        raise RegistryError("nobody is named who wants it: start the run from its form, or with a login through REST.")
    move = rollback(who, why, leaving)
    print(f"rollback: version {move.version} is the champion again instead of version {leaving}", flush=True)
    newest = Publisher.of_settings().tables.newest()
    result({"version": move.version, "run_date": str(newest.run_date if newest else datetime.now(UTC).date())})


if __name__ == "__main__":
    effect("rollback", work)
