"""One module a stage of dvc.yaml: reads params and inputs, calls `avrec`, writes outputs. No logic of its own."""

import sys
from importlib.util import find_spec

if find_spec("pyarrow") is None:  # dvc.yaml says `python`: the one of the shell, not the one that DVC itself runs in
    raise SystemExit(
        f"{sys.executable} has none of the project's packages. Activate the environment they are in "
        "(`source .venv/bin/activate` after `make install`) and run the same again."
    )
