"""The tables: names, types, keys and what each column means. Everything that reads or writes one asks here.

Identifiers are strings; instants are microseconds UTC; vectors are finite float32. `user_id` is a pseudonym
from the moment data enters (`avrec.privacy.pseudonyms`). Rows keep the order they were written in: nothing
downstream may sort by `user_id`, so that two homes with two keys compute the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from avrec.errors import SchemaError

EXTRACTED = ("visual", "audio", "text")
"""Modalities that extractors find in an item by itself."""

SEMANTIC = "semantic"
"""The modality that an encoder reads from the segments of all others, where `features.semantic` names one."""

MODALITIES = (*EXTRACTED, SEMANTIC)
"""Modalities in the order in which every array over modalities lists them."""

EVENTS = ("view", "finish", "like", "share", "follow", "comment", "save", "skip", "dislike")
LABELS = ("positive", "negative", "unknown")
MEDIA_TYPES = ("video", "music", "podcast", "audio", "movie", "text")
INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Column:
    """One column: Arrow type, meaning, and whether a row may leave it empty."""

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = True


@dataclass(frozen=True)
class TableSpec:
    """One table. `key` columns identify a row; `optional` tables may be absent from a data set."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    optional: bool = False

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, c.nullable) for c in self.columns])

    def empty(self) -> pa.Table:
        return self.schema.empty_table()

    def conform(self, table: pa.Table) -> pa.Table:
        """Casts `table` to this spec, adding nullable columns that are absent.

        Raises:
            SchemaError: a required column is absent or a column cannot be cast; unknown columns too.
        """
        unknown = [name for name in table.column_names if name not in self.schema.names]
        if unknown:
            raise SchemaError(
                f"{self.name}: unknown columns {unknown}; expected {self.schema.names}. "
                "Map them in params.yaml under dataset.columns, or drop them."
            )
        arrays = [self._column(table, column) for column in self.columns]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _column(self, table: pa.Table, column: Column) -> pa.ChunkedArray:
        if column.name not in table.column_names:
            if not column.nullable:
                raise SchemaError(f"{self.name}: column '{column.name}' is missing ({column.meaning}).")
            return pa.chunked_array([pa.nulls(table.num_rows, column.type)])
        values = table.column(column.name)
        if not column.nullable and values.null_count:
            raise SchemaError(f"{self.name}.{column.name}: {values.null_count} empty values in a required column.")
        try:
            return values.cast(column.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaError(
                f"{self.name}.{column.name}: expected {column.type}, got {values.type}: {error}"
            ) from error


def _spec(name: str, key: tuple[str, ...], columns: list[Column], optional: bool = False) -> TableSpec:
    return TableSpec(name, tuple(columns), key, optional)


_text, _real = pa.string(), pa.float32()

ITEMS = _spec("items", ("item_id",), [
    Column("item_id", _text, "identifier of the item", nullable=False),
    Column("media_type", _text, f"one of {MEDIA_TYPES}", nullable=False),
    Column("title", _text, "title as shown to people"),
    Column("description", _text, "description by the creator"),
    Column("tags", pa.list_(_text), "tags by the creator or an editor"),
    Column("category", _text, "category of the catalogue"),
    Column("creator_id", _text, "who published it"),
    Column("language", _text, "BCP 47 language code"),
    Column("published_at", INSTANT, "when it became available"),
    Column("updated_at", INSTANT, "when its metadata last changed"),
    Column("available_until", INSTANT, "when it stops being available; empty: never"),
    Column("duration_s", _real, "length in seconds"),
    Column("media_uri", _text, "path below the media folder, or an fsspec URL; empty: no media"),
    Column("media_sha256", _text, "hash of the media file's bytes"),
])  # fmt: skip

USERS = _spec("users", ("user_id",), [
    Column("user_id", _text, "pseudonym", nullable=False),
    Column("segment", _text, "segment used for default lists"),
    Column("language", _text, "BCP 47 language code"),
    Column("country", _text, "ISO 3166 code"),
    Column("joined_at", INSTANT, "when the person joined"),
], optional=True)  # fmt: skip

INTERACTIONS = _spec("interactions", ("user_id", "item_id", "timestamp", "event"), [
    Column("user_id", _text, "pseudonym", nullable=False),
    Column("item_id", _text, "item", nullable=False),
    Column("timestamp", INSTANT, "when; empty only in data sets with a given split"),
    Column("event", _text, f"one of {EVENTS}", nullable=False),
    Column("watch_ratio", _real, "watched seconds over duration; above 1 for repeats"),
    Column("label", _text, f"one of {LABELS}; negative is a true negative", nullable=False),
    Column("weight", _real, "confidence that the label says what the person felt, 0 to 1", nullable=False),
    Column("given_split", _text, "train, val or test where the data set brings its own split"),
])  # fmt: skip

IMPRESSIONS = _spec("impressions", ("user_id", "item_id", "timestamp"), [
    Column("user_id", _text, "pseudonym", nullable=False),
    Column("item_id", _text, "item that was shown", nullable=False),
    Column("timestamp", INSTANT, "when it was shown", nullable=False),
    Column("publication_id", _text, "published table it was shown from"),
    Column("rank", pa.int32(), "position at which it was shown, from 1"),
    Column("outcome", _text, "what the person did: an event, or ignored"),
], optional=True)  # fmt: skip

COMMENTS = _spec("comments", ("user_id", "item_id", "timestamp"), [
    Column("user_id", _text, "pseudonym", nullable=False),
    Column("item_id", _text, "item", nullable=False),
    Column("timestamp", INSTANT, "when", nullable=False),
    Column("text", _text, "what was written", nullable=False),
], optional=True)  # fmt: skip

MEDIA = _spec("media", ("item_id",), [
    Column("item_id", _text, "item", nullable=False),
    Column("status", _text, "ok, partial (a stream it has is broken), refused, or none (no media)", nullable=False),
    Column("reason", _text, "why it is not ok"),
    Column("bytes", pa.int64(), "file size"),
    Column("duration_s", _real, "length in seconds as probed"),
    Column("has_video", pa.bool_(), "a picture stream can be decoded", nullable=False),
    Column("has_audio", pa.bool_(), "a sound stream can be decoded", nullable=False),
    Column("width", pa.int32(), "pixels"),
    Column("height", pa.int32(), "pixels"),
    Column("fps", _real, "average frame rate"),
    Column("sample_rate", pa.int32(), "Hz"),
    Column("channels", pa.int32(), "sound channels"),
    Column("video_codec", _text, "FFmpeg codec name"),
    Column("audio_codec", _text, "FFmpeg codec name"),
])  # fmt: skip

FEATURES = _spec("features", ("item_id",), [
    Column("item_id", _text, "item", nullable=False),
    Column("vector", pa.list_(_real), "pooled vector, float32, finite; empty where not present"),
    Column("present", pa.bool_(), "false: this modality is missing for the item", nullable=False),
    Column("reason", _text, "why it is missing"),
])  # fmt: skip

SEGMENTS = _spec("segments", ("item_id", "start_s"), [
    Column("item_id", _text, "item", nullable=False),
    Column("start_s", _real, "start within the item, seconds", nullable=False),
    Column("end_s", _real, "end within the item, seconds", nullable=False),
    Column("vector", pa.list_(_real), "segment vector, float32, finite", nullable=False),
])  # fmt: skip

SIGNALS = _spec("signals", ("item_id",), [
    Column("item_id", _text, "item", nullable=False),
    Column("visual_tags", pa.list_(_text), "what is seen, best first"),
    Column("sound_tags", pa.list_(_text), "what is heard, best first"),
    Column("sure_visual_tags", pa.list_(_text), "what is seen with certainty, coarse names included, best first"),
    Column("sure_sound_tags", pa.list_(_text), "what is heard with certainty, longest first"),
    Column("transcript", _text, "what is said"),
    Column("transcript_language", _text, "language of the transcript"),
    Column("description", _text, "generated description"),
    Column("description_by", _text, "what generated it: template or language_model"),
    Column("sentiment", _real, "mean sentiment of its texts and comments, -1 to 1"),
    Column("sentiment_spread", _real, "standard deviation of their sentiments"),
    Column("sentiment_negative", _real, "share of them that is clearly negative"),
    Column("safety", _real, "probability of unsafe pictures, 0 to 1"),
    Column("colourfulness", _real, "look: colourfulness (Hasler and Suesstrunk 2003)"),
    Column("brightness", _real, "look: mean luma, 0 to 1"),
    Column("motion", _real, "look: mean absolute luma difference of sampled frames, 0 to 1"),
    Column("cut_rate", _real, "look: cuts a minute"),
    Column("poster_s", _real, "time of the poster frame, seconds"),
    Column("faces", _real, "share of the sampled frames with a face; null: nobody looked"),
], optional=True)  # fmt: skip

QUARANTINE = _spec("quarantine", (), [
    Column("table", _text, "table the row was meant for", nullable=False),
    Column("row", pa.int64(), "row number in the source, from 0"),
    Column("item_id", _text, "item the row speaks of"),
    Column("reason", _text, "why it was not taken", nullable=False),
    Column("content", _text, "the row as JSON, user ids as pseudonyms"),
])  # fmt: skip

RECOMMENDATIONS = _spec("recommendations", ("run_date", "user_id", "rank"), [
    Column("run_date", pa.date32(), "day the list is for", nullable=False),
    Column("user_id", _text, "pseudonym, or '*' for the default list", nullable=False),
    Column("rank", pa.int32(), "position from 1", nullable=False),
    Column("item_id", _text, "recommended item; unique per user and date", nullable=False),
    Column("score", _real, "score of the model, comparable within one user", nullable=False),
    Column("reason_kind", _text, "what spoke most for it, a kind of avrec.matching.base.REASON_KINDS", nullable=False),
    Column("reason_item_id", _text, "the watched item that contributed most, if one did"),
    Column("model_version", _text, "registered model version", nullable=False),
    Column("dataset_version", _text, "DVC hash of the validated data set", nullable=False),
    Column("run_id", _text, "run that made the table", nullable=False),
    Column("publication_id", _text, "publication of which the row is part", nullable=False),
    Column("generated_at", INSTANT, "when the row was computed", nullable=False),
])  # fmt: skip

DATASET_TABLES = (ITEMS, USERS, INTERACTIONS, IMPRESSIONS, COMMENTS)
"""What a source brings. `media` joins them at validation."""

TABLES = {
    spec.name: spec for spec in (*DATASET_TABLES, MEDIA, FEATURES, SEGMENTS, SIGNALS, QUARANTINE, RECOMMENDATIONS)
}
