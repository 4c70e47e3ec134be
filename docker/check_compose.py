"""Holds a compose file against the schema of the Compose specification: `check_compose.py FILE`.

The schema is that of compose-spec, as strict models of the package compose-viz; an unknown key or a wrong type fails
and is named. `make images` runs it in an environment of its own.
"""

import sys
from pathlib import Path

from compose_viz.spec.compose_spec import ComposeSpecification
from pydantic import ValidationError
from ruamel.yaml import YAML


def check(file: Path) -> list[str]:
    """What is wrong, a line each; empty when nothing is."""
    values = YAML(typ="safe").load(file)
    own = {name for name in values if name.startswith("x-")}  # extensions, which the specification allows anywhere
    try:
        ComposeSpecification.model_validate({name: value for name, value in values.items() if name not in own})
    except ValidationError as error:
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return []


if __name__ == "__main__":
    wrong = check(Path(sys.argv[1]))
    print("\n".join(wrong) or f"{sys.argv[1]} is as the Compose specification wants it")
    sys.exit(bool(wrong))
