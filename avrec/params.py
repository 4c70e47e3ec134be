"""The one typed model of params.yaml: frozen, and a wrong key or value names itself.

Everything that may change a result is here and nowhere else; where things are is in `avrec.settings`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from avrec.errors import ParamsError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

Source = Literal["demo", "folder", "mmrec", "movielens", "microlens"]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values cannot change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DemoParams(Section):
    """Size and seed of the rendered demo set; its taste model lives in `avrec.datasets.demo`."""

    seed: int = 7
    items: Annotated[int, Field(ge=24)] = 300
    users: Annotated[int, Field(ge=20)] = 500
    days: Annotated[int, Field(ge=7)] = 60
    interactions_per_user: Annotated[float, Field(gt=0)] = 40.0


class DatasetParams(Section):
    """Where the data come from.

    `snapshot` is the content hash printed by `avrec data import`; every source but `demo` needs one.
    `as_of` is the instant the data set is a picture of; nothing later is in it.
    `erased` names the receipts of erased people and items that the data set is made without; `avrec forget` writes it.
    `columns` maps our column names to the ones of your files, a table at a time (source `folder`).
    """

    source: Source = "demo"
    snapshot: str | None = None
    as_of: datetime | None = None
    erased: str | None = None
    demo: DemoParams = DemoParams()
    columns: dict[str, dict[str, str]] = {}

    @model_validator(mode="after")
    def _snapshot_is_named(self) -> DatasetParams:
        if self.source != "demo" and not self.snapshot:
            raise ValueError(
                f"source '{self.source}' needs dataset.snapshot: run `avrec data import {self.source} PATH`, "
                "which writes it here"
            )
        return self


class ValidationParams(Section):
    """Bounds of the Great Expectations suites. A broken critical bound stops the pipeline."""

    max_missing_visual: Share = 0.5
    max_missing_audio: Share = 0.5
    max_missing_text: Share = 0.5
    max_quarantined: Share = 0.1
    min_positive_share: Share = 0.02
    max_drift: Annotated[float, Field(gt=0)] = 0.25
    reference_profile: str | None = None


class OpinionParams(Section):
    """What comments say of the person's own interaction with the item.

    `use`: off; weight: a complaint takes weight from a positive; label: a complaint makes it a negative, and what is
    unknown becomes what was written. Only training and refit read them; what is judged stays as it happened.
    `least`: sentiment, 0 to 1, from which a comment is an opinion.
    """

    use: Literal["off", "weight", "label"] = "weight"
    least: Share = 0.15


class SplitParams(Section):
    """Global time split by quantiles of time; data sets without time keep their given split."""

    val: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    light_user_max: Positive = 5
    opinions: OpinionParams = OpinionParams()


class LimitsParams(Section):
    """Limits under which an unknown media file is opened."""

    seconds: Annotated[float, Field(gt=0)] = 60.0
    memory_mb: Positive = 2048
    pixels: Positive = 8192 * 4320
    duration_s: Annotated[float, Field(gt=0)] = 4 * 3600.0
    streams: Positive = 64
    bytes: Positive = 8 * 1024**3


def _belong_together(weights: str | None, sha256: str | None) -> None:
    if (weights is None) != (sha256 is None):
        raise ValueError("weights and weights_sha256 belong together: a path, and the hash of the file there")


class VisualParams(Section):
    """`network`: what looks at frames. `mobilenet` comes with the installation and names and rates what it sees;
    `xception` may be installed beside (docs/weights.md); the others are Keras', with a weights file (without top) of
    yours: `weights` is its path and `weights_sha256` what it must be. Of `mobilenet` the file holds the top layers that
    `avrec finetune` trained. `sampling`: key frames, evenly spaced frames
    (costs decoding what lies between), or the middle of each shot (costs decoding everything). `frames`: the most.
    `faces`: also look for faces, of which ImageNet knows nothing (installed apart, docs/weights.md).
    """

    network: Literal["mobilenet", "xception", "vgg19", "resnet50", "efficientnet_b0"] = "mobilenet"
    weights: str | None = None
    weights_sha256: Digest | None = None
    sampling: Literal["keyframes", "uniform", "shots"] = "keyframes"
    frames: Positive = 6
    faces: bool = False

    @model_validator(mode="after")
    def _weights(self) -> VisualParams:
        _belong_together(self.weights, self.weights_sha256)
        return self


class AudioParams(Section):
    """`network`: what hears. `weights`, `weights_sha256`: top layers of it that `avrec finetune` wrote; null: as
    installed. `mfcc`: cepstral coefficients beside it. `max_seconds`: the most that is heard of an item.
    `music`: what also hears the moments that are music (`musicnn`: installed apart, docs/weights.md).
    """

    network: Literal["yamnet"] = "yamnet"
    weights: str | None = None
    weights_sha256: Digest | None = None
    music: Literal["none", "musicnn"] = "none"
    mfcc: Annotated[int, Field(ge=0, le=40)] = 20
    max_seconds: Annotated[float, Field(gt=0)] = 120.0

    @model_validator(mode="after")
    def _weights(self) -> AudioParams:
        _belong_together(self.weights, self.weights_sha256)
        return self


class TextParams(Section):
    """`encoder`: `use_m3` knows 16 languages; `minilm`, an English BERT, may be installed beside (docs/weights.md).
    `fields`: what is read of an item. Two of them come from its media: `transcript`, what is said in it (needs
    `features.speech`), and `generated`, the description put together from what is seen and heard.
    """

    encoder: Literal["use_m3", "minilm"] = "use_m3"
    fields: tuple[Literal["title", "description", "tags", "transcript", "generated"], ...] = (
        "title",
        "description",
        "tags",
    )


class SpeechParams(Section):
    """Speech to text. Off by default: it is by far the dearest extractor, one thread a file.

    `model`: folder of a Whisper model for CTranslate2; null: the base model of the installed weights.
    `language`: ISO 639-1 code of all that is spoken; null: found out for each item.
    """

    enabled: bool = False
    model: str | None = None
    language: Annotated[str, Field(pattern="^[a-z]{2,3}$")] | None = None
    max_words: Positive = 2000


class DescriptionParams(Section):
    """`by`: who writes an item's description. `template`: rules. `language_model`: a small language model, whose words
    are held against what it was told (docs/understand.md); a second or more an item.
    """

    by: Literal["template", "language_model"] = "template"


def check_heads(dim: int, heads: int) -> None:
    """Every head of an attention has an equal part of a vector."""
    if dim % heads:
        raise ValueError(f"dim {dim} must be a multiple of heads {heads}")


class SemanticParams(Section):
    """What reads an item as a whole: a network over the segments of all its modalities (docs/understand.md).

    `encoder`: none; transformer: attention over all segments; gru, lstm: a recurrent network in both directions; each
    with attention pooling, and its vector is then one more modality. `dim`: length of the vectors. `blocks`: layers;
    `heads`: of the transformer's attention. `epochs`, `batch_size`, `learning_rate`: passes over the items, items a
    step, and the rate of Adam. `modality_dropout`: probability that a view of an item lacks a modality in training.
    """

    encoder: Literal["none", "transformer", "gru", "lstm"] = "none"
    dim: Annotated[int, Field(ge=8, le=512, multiple_of=2)] = 64
    blocks: Annotated[int, Field(ge=1, le=8)] = 2
    heads: Positive = 4
    epochs: Positive = 60
    batch_size: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    modality_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    seed: int = 7

    @model_validator(mode="after")
    def _heads_share_the_vector(self) -> SemanticParams:
        check_heads(self.dim, self.heads)
        return self


class FeaturesParams(Section):
    limits: LimitsParams = LimitsParams()
    speech: SpeechParams = SpeechParams()
    visual: VisualParams = VisualParams()
    audio: AudioParams = AudioParams()
    text: TextParams = TextParams()
    semantic: SemanticParams = SemanticParams()
    description: DescriptionParams = DescriptionParams()

    @model_validator(mode="after")
    def _transcript(self) -> FeaturesParams:
        if "transcript" in self.text.fields and not self.speech.enabled:
            raise ValueError("text.fields names transcript: set speech.enabled to true, or leave it out")
        return self


class AugmentParams(Section):
    """How frames and log-mel patches are changed at random while networks learn from them; extraction changes nothing.

    `crop`: least share of a frame's height and width that is kept; 1: all of it. `flip`: left to right, every other
    time. `jitter`: of brightness, contrast and saturation, up to such a share. `freq_mask`, `time_mask`: widest band of
    the 64 mel bands and the 96 steps of 10 ms that is masked. `shift`: most steps a sound is moved. `noise`: standard
    deviation, in the unit of the logarithm. 1, false and 0 switch each of them off.
    """

    crop: Annotated[float, Field(gt=0, le=1)] = 0.8
    flip: bool = True
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.2
    freq_mask: Annotated[int, Field(ge=0, lt=64)] = 8
    time_mask: Annotated[int, Field(ge=0, lt=96)] = 16
    shift: Annotated[int, Field(ge=0, lt=96)] = 12
    noise: Annotated[float, Field(ge=0)] = 0.1


class MatcherParams(Section):
    """Base of every matcher's settings. A matcher that is not enabled is neither trained nor blended."""

    enabled: bool = True


class PopularityParams(MatcherParams):
    """`half_life_days`: age at which a like counts half; null: it counts forever. Validation may find a better one."""

    half_life_days: Annotated[float, Field(gt=0)] | None = 14.0


class ContentParams(MatcherParams):
    """`profile_size`: newest likes a profile is the mean of. The weights of its blocks are chosen on validation."""

    profile_size: Positive = 50


class EaseParams(MatcherParams):
    """`l2`: where the search on validation for the strength of regularisation starts. With more than `dense_items`
    liked items only so many, the most liked, explain others: memory grows with the square of `dense_items`.
    """

    l2: Annotated[float, Field(gt=0)] = 100.0
    dense_items: Positive = 30_000


class ItemKnnParams(MatcherParams):
    """RP3beta. Where the search on validation starts: `alpha`, exponent of the probabilities of the walk; `beta`,
    exponent of the popularity that is divided by; `neighbours`, kept of each item.
    """

    enabled: bool = False
    alpha: Annotated[float, Field(gt=0, le=4)] = 1.0
    beta: Annotated[float, Field(ge=0, le=2)] = 0.2
    neighbours: Positive = 100


class EaseSideParams(MatcherParams):
    """EASE with content: `side_weight` of the item vectors and `l2` are where the search on validation starts;
    `max_items`: most liked items that weights are learned between, the others are placed among them.
    """

    enabled: bool = False
    l2: Annotated[float, Field(gt=0)] = 50.0
    side_weight: Annotated[float, Field(ge=0)] = 100.0
    max_items: Positive = 15_000


class KnowledgeGraphParams(MatcherParams):
    """A random walk with restart over items, people, creators, categories and tags. `steps`: from item to item, at
    most; `restart`: chance to begin again before each of them. Where the search on validation starts: `popularity`,
    exponent of the popularity that is divided by; `people`, `creator`, `category`, `tag`, `seen`, `heard`: how often
    the walk goes over each kind of link, relative to one another (seen and heard: what the extractors tagged).
    """

    enabled: bool = False
    steps: Annotated[int, Field(ge=1, le=10)] = 2
    restart: Annotated[float, Field(gt=0, lt=1)] = 0.5
    popularity: Annotated[float, Field(ge=0, le=2)] = 0.2
    people: Annotated[float, Field(ge=0)] = 1.0
    creator: Annotated[float, Field(ge=0)] = 0.1
    category: Annotated[float, Field(ge=0)] = 0.1
    tag: Annotated[float, Field(ge=0)] = 0.1
    seen: Annotated[float, Field(ge=0)] = 0.03
    heard: Annotated[float, Field(ge=0)] = 0.03


class FactorsParams(MatcherParams):
    """Matrix factorisation: `dim` of the vectors and `iterations` of the fit; `regularization` and `confidence` (how
    much more a like counts than none) are where the search on validation starts.
    """

    enabled: bool = False
    dim: Annotated[int, Field(ge=1, le=128)] = 64
    iterations: Positive = 15
    regularization: Annotated[float, Field(gt=0)] = 1.0
    confidence: Annotated[float, Field(ge=1)] = 20.0


class NetworkParams(MatcherParams):
    """How a network is trained; the same for all that are.

    `strategy`: over which devices (`avrec.matching.strategies`). `precision`: of the products with all items, weights
    and sums stay float32. `xla`: compile the loss. `deterministic`: the same bits every time, which DVC needs; without
    it some operations are faster on GPUs. `patience`: epochs without a better validation figure.
    """

    dim: Positive = 64
    history: Positive = 50
    epochs: Positive = 30
    patience: Positive = 4
    learning_rate: Annotated[float, Field(gt=0)] = 0.003
    temperature: Annotated[float, Field(gt=0)] = 0.2
    strategy: Literal["none", "mirrored", "multi_worker", "tpu"] = "none"
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    xla: bool = False
    deterministic: bool = True


class FusedParams(NetworkParams):
    """Of matchers that make an item of its id and its modalities.

    `feature_dim`: principal components kept of each modality. `fusion`: how id and modalities become one vector.
    `modality_dropout`, `id_dropout`: shares left out in training, so that the item tower learns to do without.
    `loss`: a softmax over all items, or over those of the batch with logQ correction.
    """

    feature_dim: Positive = 32
    fusion: Literal["gated", "weighted", "attention", "bilinear", "concat"] = "gated"
    modality_dropout: Share = 0.2
    id_dropout: Share = 0.3
    loss: Literal["full_softmax", "in_batch"] = "full_softmax"


class CompressionParams(Section):
    """How trained towers are made smaller. What is evaluated, gated and served is the smaller model.

    `dim`: length of the vectors of smaller towers that learn from the trained ones; null: none. `teacher`: the say of
    these in the loss, the rest is that of the likes. `prune`: share of each row of the weights that is dropped, the
    smallest entries. `storage`: numbers of the weights; int8 has a scale a row. `tflite`: also write the towers as
    TFLite files beside the model, with such numbers; null: none.
    """

    dim: Positive | None = None
    teacher: Share = 0.5
    prune: Annotated[float, Field(ge=0, lt=1)] = 0.0
    storage: Literal["float32", "float16", "int8"] = "float32"
    tflite: Literal["float32", "float16", "int8"] | None = None

    @property
    def shrinks(self) -> bool:
        """Whether weights are changed after training."""
        return self.prune > 0 or self.storage != "float32"


class TwoTowerParams(FusedParams):
    """The two towers. Fast enough for the demo on two cores; larger data get larger batches by themselves.

    `batch_size`: examples a step; raised where an epoch would take more than 64 steps. `history`: newest likes a
    person is made of.
    `hard_negatives`: with `in_batch`, so many more wrong answers a row: those that the towers of the epoch before put
    highest (Xiong et al., "Approximate nearest neighbor negative contrastive learning", ICLR 2021).
    """

    batch_size: Positive = 256
    hard_negatives: Annotated[int, Field(ge=0)] = 0
    compression: CompressionParams = CompressionParams()

    @model_validator(mode="after")
    def _compression_makes_smaller(self) -> TwoTowerParams:
        if self.compression.dim is not None and self.compression.dim >= self.dim:
            raise ValueError(
                f"compression.dim {self.compression.dim} must be below dim {self.dim}; null: no distillation"
            )
        return self

    @model_validator(mode="after")
    def _hard_negatives_are_missing_somewhere(self) -> TwoTowerParams:
        if self.hard_negatives and self.loss != "in_batch":
            raise ValueError("hard_negatives need loss 'in_batch': in a full softmax every item is a candidate already")
        return self


class SequenceParams(FusedParams):
    """Attention over the order of likes.

    `blocks`, `heads`: of the attention. `dropout`: share left out within it. `history`: likes that are looked at.
    `batch_size`: people a step; raised where an epoch would take more than 64 steps.
    """

    enabled: bool = False
    blocks: Annotated[int, Field(ge=1, le=8)] = 1
    heads: Positive = 2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    batch_size: Positive = 128

    @model_validator(mode="after")
    def _heads_share_the_vector(self) -> SequenceParams:
        check_heads(self.dim, self.heads)
        return self


class GraphParams(NetworkParams):
    """Propagation over likes and likeness.

    `layers`: hops between people and items, as LightGCN counts them (3: item, person, item, person).
    `neighbours`: most alike items an item hears from, by modality. `given`: share of a person's likes that is given in
    training, the rest is to be found. `id_dropout`: share of the items that have only their neighbours, so that new
    items are learned to be placed. `batch_size`: people a step.
    """

    enabled: bool = False
    layers: Positive = 3
    neighbours: Positive = 10
    given: Annotated[float, Field(gt=0, lt=1)] = 0.5
    id_dropout: Share = 0.3
    batch_size: Positive = 512
    temperature: Annotated[float, Field(gt=0)] = 0.15


class RankParams(Section):
    """The hybrid: a blend learned on validation only.

    `candidates`: items each matcher proposes to learn from. `l2`: pull towards equal say of all matchers, about as
    strong as so many people. `new_share`: share of the first 20 places, on average over people, that is kept for items
    nobody has met, though not of the very first ones; less where validation cannot bear it, more where people liked
    more of them.
    `method`: blend, a weighted sum; boosting, the same and so many boosted `trees` over its `candidates`.
    """

    method: Literal["blend", "boosting"] = "blend"
    trees: Annotated[int, Field(ge=1, le=1000)] = 100

    candidates: Positive = 200
    l2: Annotated[float, Field(gt=0)] = 10.0
    new_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1


class MatchingParams(Section):
    seed: int = 7
    popularity: PopularityParams = PopularityParams()
    content: ContentParams = ContentParams()
    ease: EaseParams = EaseParams()
    ease_side: EaseSideParams = EaseSideParams()
    item_knn: ItemKnnParams = ItemKnnParams()
    knowledge_graph: KnowledgeGraphParams = KnowledgeGraphParams()
    factors: FactorsParams = FactorsParams()
    two_tower: TwoTowerParams = TwoTowerParams()
    graph: GraphParams = GraphParams()
    sequence: SequenceParams = SequenceParams()
    rank: RankParams = RankParams()


class EvaluationParams(Section):
    """`ks` are the cut-offs of the ranking metrics; `primary_k` is the one the gate and selection use."""

    ks: tuple[Positive, ...] = (5, 10, 20)
    primary_k: Positive = 10
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    seed: int = 7

    @model_validator(mode="after")
    def _primary_is_measured(self) -> EvaluationParams:
        if self.primary_k not in self.ks:
            raise ValueError(f"primary_k {self.primary_k} must be one of ks {list(self.ks)}")
        return self


class RecommendParams(Section):
    """The published lists: length, users a shard, spread, and rules (docs/lists.md).

    `diversity`: 0 is the order of the scores, 1 looks at likeness alone; `spread`: how the two trade: mmr, dpp or sum.
    `max_per_category`: items of one category in a list, more only where nothing else is left; null: no limit.
    `max_unsafe`: highest probability of unsafe pictures that is listed; null: all. Items nobody judged pass.
    `media_types`: kinds of items that are listed; empty: all.
    """

    k: Positive = 20
    users_per_shard: Positive = 50_000
    block: Positive = 256
    diversity: Share = 0.0
    spread: Literal["mmr", "dpp", "sum"] = "mmr"
    max_per_category: Positive | None = None
    max_unsafe: Share | None = None
    media_types: tuple[str, ...] = ()


class RetentionParams(Section):
    """Days after which something is removed by the next batch of erasures; null: never.

    `events`: interactions, impressions and comments of imported snapshots, by age before the newest one.
    `runs`: run refs with their data, the newest and those of approved versions aside. `publications`: superseded ones.
    `logs`: log files nobody has written to.
    """

    events: Positive | None = None
    runs: Positive | None = None
    publications: Positive | None = None
    logs: Positive | None = None


class PrivacyParams(Section):
    """Requests to be forgotten: a batch runs once `batch` of them wait or the oldest has waited `wait_days`.

    `deadline_days`: by when each must be done; a batch that is late says so loudly.
    """

    batch: Positive = 100
    wait_days: Annotated[int, Field(ge=0)] = 7
    deadline_days: Positive = 30
    retention: RetentionParams = RetentionParams()

    @model_validator(mode="after")
    def _in_time(self) -> PrivacyParams:
        if self.wait_days >= self.deadline_days:
            raise ValueError(f"wait_days {self.wait_days} must be below deadline_days {self.deadline_days}")
        return self


class IngestParams(Section):
    """What is taken from the inbox, and how much of it starts a training run.

    `max_rejected` is the share of a batch's rows, table by table, above which the batch is refused whole.
    A training run starts once `min_interactions` or `min_items` are new since the last one that was started.
    """

    max_rejected: Share = 0.5
    min_interactions: Positive = 1000
    min_items: Positive = 20


class FinetuneParams(Section):
    """How `avrec finetune` trains the top layers of the networks together with the two towers.

    `layers`: separable layers that are trained, of the 13 of each network. `learning_rate`: what a step moves a weight
    by, in standard deviations of its kernel. `frames`, `patches`: of an item that are learned from. `items`: of a step.
    `batch_size`: likes of a step. `warm_epochs`: of the towers alone, before the networks move. `epochs`: over all
    items, at most. `patience`: epochs without a better validation figure. `id_dropout`: share of the items that must do
    without their id. `cache_mb`: memory for decoded frames and patches; a catalogue that needs more is learned from by
    a sample of its items. `augment`: whether what is learned from is changed at random, `augmentation`: how.
    """

    layers: Annotated[int, Field(ge=1, le=13)] = 2
    learning_rate: Annotated[float, Field(gt=0)] = 0.003
    frames: Positive = 2
    patches: Positive = 2
    items: Positive = 16
    batch_size: Positive = 256
    warm_epochs: Positive = 10
    epochs: Positive = 8
    patience: Positive = 3
    id_dropout: Share = 0.5
    cache_mb: Positive = 1024
    augment: bool = True
    augmentation: AugmentParams = AugmentParams()


class MonitorParams(Section):
    """What is watched, and from where on a person is told.

    `window_days` is how much of the newest data is compared with everything before; `min_rows` is the least on either
    side that says anything. Distances are effect sizes, not p-values, which any large log makes small: the population
    stability index of a column, and the AUC with which a linear classifier tells new vectors from old ones.
    """

    window_days: Positive = 7
    min_rows: Positive = 50
    max_psi: Annotated[float, Field(gt=0)] = 0.25
    max_auc: Annotated[float, Field(gt=0.5, le=1)] = 0.75
    max_data_age_days: Annotated[float, Field(gt=0)] = 3.0
    max_champion_age_days: Annotated[float, Field(gt=0)] = 30.0
    min_coverage: Share = 0.1
    max_gini: Share = 0.95
    min_lift: Annotated[float, Field(ge=0)] = 1.0
    max_skew: Share = 0.05
    retrain: bool = True


class Params(Section):
    """All of params.yaml."""

    dataset: DatasetParams = DatasetParams()
    validation: ValidationParams = ValidationParams()
    split: SplitParams = SplitParams()
    features: FeaturesParams = FeaturesParams()
    matching: MatchingParams = MatchingParams()
    evaluation: EvaluationParams = EvaluationParams()
    recommend: RecommendParams = RecommendParams()
    privacy: PrivacyParams = PrivacyParams()
    finetune: FinetuneParams = FinetuneParams()
    ingest: IngestParams = IngestParams()
    monitor: MonitorParams = MonitorParams()


def parse_params(values: Any, origin: str = "params.yaml") -> Params:
    """Builds `Params` from a mapping.

    Raises:
        ParamsError: names every wrong key, with what was expected.
    """
    try:
        return Params.model_validate(values or {})
    except ValidationError as error:
        raise _named(error, origin, Params) from error


def parse_features(values: Any, origin: str) -> FeaturesParams:
    """The section `features` alone, as `parse_params`."""
    try:
        return FeaturesParams.model_validate(values or {})
    except ValidationError as error:
        raise _named(error, origin, FeaturesParams) from error


def _named(error: ValidationError, origin: str, root: type[BaseModel]) -> ParamsError:
    lines = [
        f"  {'.'.join(str(part) for part in e['loc']) or '(top level)'}: "
        f"{_no_key(root, e['loc']) if e['type'] == 'extra_forbidden' else e['msg']} (got {e['input']!r:.80})"
        for e in error.errors()
    ]
    return ParamsError(f"{origin} is not valid:\n" + "\n".join(lines))


def _no_key(root: type[BaseModel], where: Sequence[int | str]) -> str:
    """What stands where `where` names nothing: the key that was probably meant, or all there are."""
    section: Any = root
    for part in where[:-1]:
        section = getattr(section, "model_fields", {})[str(part)].annotation
    keys = list(getattr(section, "model_fields", {}))
    near = difflib.get_close_matches(str(where[-1]), keys, n=1)
    return (
        f"there is no such key; did you mean '{near[0]}'?" if near else f"there is no such key; expected one of {keys}"
    )


def load_params(path: Path | str = "params.yaml") -> Params:
    """Reads and checks a params file.

    Raises:
        ParamsError: the file is missing, is not YAML, or has a wrong key or value.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path} does not exist; run from the project's folder.") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {error}") from error
    return parse_params(values, str(path))


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` strings as a mapping of dotted keys to YAML values.

    Raises:
        ParamsError: one of them has no `=`.
    """
    pairs = [text.partition("=") for text in assignments]
    for key, sign, _ in pairs:
        if not sign or not key:
            raise ParamsError(f"--set {key}: expected KEY=VALUE, as in matching.ease.l2=50.")
    return {key: yaml.safe_load(value) for key, _, value in pairs}
