"""The `avrec` command: thin, and light until a command needs more (`--help` stays under a second)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from avrec.errors import told

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Recommends audio and video from what they contain and what people did with them.")  # fmt: skip
data = typer.Typer(no_args_is_help=True, help="Import data, or restore a version of it.")
features = typer.Typer(no_args_is_help=True, help="Turn media into vectors.")
models = typer.Typer(no_args_is_help=True, help="Registered versions: gate, approve, promote, roll back.")
app.add_typer(data, name="data")
app.add_typer(features, name="features")
app.add_typer(models, name="models")
tables = typer.Typer(no_args_is_help=True, help="Published recommendation tables: publish, look up, trace, make again.")
app.add_typer(tables, name="tables")


def main() -> None:
    """Entry point: an error meant for a person is one message and exit code 1, not a traceback."""
    try:
        app()
    except Exception as error:
        raise SystemExit(told("avrec", error)) from error


# The platform ---------------------------------------------------------------------------------------------------


@app.command()
def up(
    detach: Annotated[bool, typer.Option(help="Return when everything answers and leave it running.")] = False,
) -> None:
    """Start Airflow and MLflow on this machine and watch them until Ctrl-C."""
    from avrec.platform.commands import up as start

    raise SystemExit(start(detach=detach))


@app.command()
def down() -> None:
    """Stop what `avrec up` started."""
    from avrec.platform.commands import down as stop

    stop()


@app.command()
def status(
    passwords: Annotated[bool, typer.Option("--passwords", help="Also print the generated passwords.")] = False,
) -> None:
    """Show which parts of the platform answer, and where; the exit code is 0 when all do."""
    from avrec.platform.commands import status as show

    raise SystemExit(show(passwords=passwords))


@app.command()
def doctor() -> None:
    """Check versions, native ops, weights, ports, disk and secrets; each line says what to do."""
    from avrec.features.checkup import weights
    from avrec.platform.doctor import examine

    raise SystemExit(examine(weights))


@app.command()
def score(
    run: Annotated[bool, typer.Option("--run", help="Run every test that is named; takes minutes.")] = False,
    results: Annotated[
        Path | None, typer.Option(help="Instead of running them, the JUnit report of a run (pytest --junit-xml=FILE).")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Also write docs/ml-test-score.md.")] = False,
) -> None:
    """Answer the 28 tests of the ML Test Score (Breck et al. 2017); the lowest of four sections counts."""
    from avrec.scorecard import print_score

    raise SystemExit(print_score(run, write, results))


@app.command()
def demo(
    stay: Annotated[bool, typer.Option(help="Leave the approval to a person and stay up until Ctrl-C.")] = True,
) -> None:
    """Run the whole platform once on rendered data and show the recommendations."""
    from avrec.demo import run_demo

    run_demo(stay)


# Data -----------------------------------------------------------------------------------------------------------


@data.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="demo, folder, mmrec, movielens or microlens.")],
    path: Annotated[Path | None, typer.Argument(help="Folder of the data; demo needs none.")] = None,
) -> None:
    """Take a snapshot of outside data and name it in params.yaml."""
    from avrec.datasets.importing import import_source

    import_source(source, path)


@data.command()
def ingest(
    back_to: Annotated[str | None, typer.Option(help="Instead: make this earlier snapshot current again.")] = None,
) -> None:
    """Take every batch that waits in the inbox (AVREC_INBOX), exactly once, and get its features ready."""
    _pipeline("pipelines.ingest", *(["back", back_to] if back_to else ["all"]))


@data.command()
def checkout(
    version: Annotated[str, typer.Argument(help="Run id, git commit, or dataset version of a published row.")],
    into: Annotated[Path, typer.Option(help="New folder for it.")] = Path("checkout"),
) -> None:
    """Restore the data, code and models of a run, bit for bit."""
    _pipeline("pipelines.checkout", version, str(into))


@app.command()
def forget(
    user: Annotated[str | None, typer.Argument(help="Raw id or pseudonym of a person.")] = None,
    item: Annotated[str | None, typer.Option(help="Erase a video or another item.")] = None,
    media: Annotated[bool, typer.Option("--media", help="Also delete its file where it was imported from.")] = False,
    later: Annotated[bool, typer.Option("--later", help="Only collect the request for the next batch.")] = False,
    due: Annotated[bool, typer.Option("--due", help="Carry out what waits, if a batch is due.")] = False,
    reapply: Annotated[
        bool, typer.Option("--reapply", help="Carry out all receipts again, after a backup was restored.")
    ] = False,
    scan: Annotated[
        list[str] | None, typer.Option(help="Say where a text is stored; erases nothing. May be repeated.")
    ] = None,
) -> None:
    """Make a person or an item disappear from data, models, tables, caches, remotes and logs."""
    flags = {"--media": media, "--later": later, "--due": due, "--reapply": reapply}
    options = [*(["--item", item] if item else []), *(name for name, on in flags.items() if on)]
    _pipeline("pipelines.forget", *([user] if user else []), *options, *(["--scan", *scan] if scan else []))


# Features -------------------------------------------------------------------------------------------------------


@features.command()
def extract(
    folder: Annotated[str, typer.Argument(help="Folder or fsspec URL of media files.")],
    out: Annotated[Path, typer.Option(help="Folder for vectors, signals and report.csv.")],
    workers: Annotated[int, typer.Option(help="Decoding processes.")] = 2,
) -> None:
    """Extract every file of a folder; files that cannot be read are reported, not fatal."""
    from avrec.features.folder import extract_folder

    extract_folder(folder, out, workers=workers)


@features.command()
def page(
    out: Annotated[Path, typer.Argument(help="Folder that `avrec features extract` wrote.")],
    workers: Annotated[int, typer.Option(help="Decoding processes.")] = 2,
) -> None:
    """Describe every item of an extracted folder and show on one page what was understood: OUT/index.html."""
    from avrec.recommend.items_page import write_items_page

    write_items_page(out, workers)


# Search ---------------------------------------------------------------------------------------------------------


@app.command()
def search(
    catalogue: Annotated[
        Path, typer.Argument(help="Folder that `avrec features extract` wrote, or the project's folder data.")
    ] = Path("data"),
    text: Annotated[str | None, typer.Option(help="What is looked for, in English, Chinese, ...")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture, or a film, to find what looks like it.")] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound, or a film, to find what sounds like it.")] = None,
    voice: Annotated[Path | None, typer.Option(help="A recording of a spoken request.")] = None,
    voice_text: Annotated[str | None, typer.Option(help="A spoken request, as text.")] = None,
    like: Annotated[str | None, typer.Option(help="An item of the catalogue, to find what is like it.")] = None,
    last: Annotated[str | None, typer.Option(help="The item that was played last, for 'like the last one'.")] = None,
    k: Annotated[int | None, typer.Option(help="Length of the list.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find items, and moments in them, by words, picture, sound or voice."""
    from avrec.search.commands import search as answer

    answer(catalogue, text=text, image=image, audio=audio, voice=voice, voice_text=voice_text, like=like, last=last,
           k=k, json_=json)  # fmt: skip


# Training -------------------------------------------------------------------------------------------------------


@app.command()
def train(
    run_id: Annotated[str | None, typer.Option(help="Name of the run; by default the time.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of params.yaml, may be repeated.")] = None,
) -> None:
    """Do a training run without Airflow: every stage, then a registered challenger."""
    import json
    from datetime import UTC, datetime

    from avrec.params import parse_assignments

    name = run_id or f"local-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    _pipeline("pipelines.work", name, "--train", json.dumps(parse_assignments(set_ or [])))


Public = Annotated[str | None, typer.Option(help="Instead of the project's data: tiktok or movielens.")]
PublicFolder = Annotated[Path | None, typer.Option("--data", help="Folder of the public data set.")]


@app.command()
def tune(
    matcher: Annotated[str, typer.Argument(help="two_tower, graph, ease, ...")],
    trials: Annotated[int, typer.Option(help="Trials in all, those of an earlier call included.")] = 30,
    public: Public = None,
    data: PublicFolder = None,
) -> None:
    """Search for a matcher's best settings on validation; run it again to continue. Trials are nested MLflow runs."""
    from avrec.params import load_params
    from avrec.registry.tuning import tune as search_settings

    print(search_settings(matcher, load_params(), Path.cwd(), trials, public, data).told(), end="")


@app.command()
def finetune() -> None:
    """Train the top layers of the picture and sound networks with the two towers; after `dvc repro rank`."""
    from avrec.matching.finetune import finetune as train_layers
    from avrec.params import load_params

    print(train_layers(load_params(), Path.cwd()).told(), end="")


@app.command()
def compress(public: Public = None, data: PublicFolder = None) -> None:
    """Compare ways of making the two-tower model smaller: bytes, time and quality in one table."""
    from avrec.params import load_params
    from avrec.registry.compressing import compress as compare

    compare(load_params(), Path.cwd(), public, data)


# Recommending ---------------------------------------------------------------------------------------------------


@app.command()
def recommend(
    user: Annotated[str | None, typer.Option(help="A user id (pseudonym or raw).")] = None,
    history: Annotated[str | None, typer.Option(help="Item ids, oldest first: ID,ID,...")] = None,
    k: Annotated[int, typer.Option(help="Length of the list.")] = 10,
    version: Annotated[str, typer.Option(help="Registered version or alias.")] = "champion",
    media_type: Annotated[list[str] | None, typer.Option(help="Only such items; may be repeated.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Only such items; may be repeated.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="Only such items; may be repeated.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out this item; may be repeated.")] = None,
    max_unsafe: Annotated[float | None, typer.Option(help="Highest probability of unsafe pictures, 0 to 1.")] = None,
    at: Annotated[str | None, typer.Option(help="Only what was available at this time; default: now.")] = None,
    diversity: Annotated[float | None, typer.Option(help="0: by score alone, 1: by likeness alone.")] = None,
    max_per_category: Annotated[int | None, typer.Option(help="Items of one category, at most.")] = None,
    segment: Annotated[
        str | None, typer.Option(help="What is known of somebody new: country=DE, language=en, ...")
    ] = None,
) -> None:
    """Recommend for a person or for a history, now; options left out are as the version was trained with."""
    from avrec.serving.local import asked_of, print_recommendations

    filters = {"media_types": media_type, "categories": category, "languages": language, "exclude": exclude}
    asked = asked_of(segment, diversity, max_per_category, **filters, max_unsafe=max_unsafe, at=at)
    print_recommendations(user, history.split(",") if history else None, k, version, asked)


@app.command()
def similar(
    item: Annotated[str, typer.Argument(help="An item of the catalogue.")],
    k: Annotated[int, typer.Option(help="Length of the list.")] = 10,
    version: Annotated[str, typer.Option(help="Registered version or alias.")] = "champion",
    media_type: Annotated[list[str] | None, typer.Option(help="Only such items; may be repeated.")] = None,
) -> None:
    """More like this: what the model recommends to somebody who liked this item and nothing else, and why."""
    from avrec.serving.local import asked_of, print_recommendations

    print_recommendations(None, [item], k, version, asked_of(media_types=media_type))


# Watching -------------------------------------------------------------------------------------------------------


@app.command()
def monitor() -> None:
    """Look at data, champion and tables; write the page, tell what is out of bounds."""
    _pipeline("pipelines.monitor", "all")


@app.command()
def overview() -> None:
    """Write the overview page: champion, tables, drift, and decisions that wait for a person."""
    _pipeline("pipelines.overview")


# Models ---------------------------------------------------------------------------------------------------------


@models.command("list")
def list_() -> None:
    """Versions with their metrics, gate verdicts and approval records."""
    from avrec.registry.commands import print_versions

    print_versions()


@models.command("card")
def card_(version: str) -> None:
    """The model card of a version: intended use, data, training, metrics by slice, limits."""
    from avrec.registry.commands import print_card

    print_card(version)


@models.command()
def gate(version: str) -> None:
    """Judge a version against the champion and the baselines."""
    from avrec.registry.commands import run_of

    inputs = ["--inputs-of", "track", "--inputs-of", "evaluate"]
    _pipeline(
        "pipelines.inside", run_of(version), *inputs, "--", "python", "-m", "avrec.cli", "models", "judge", version
    )


@models.command()
def staleness(version: str) -> None:
    """What the age of a model costs: the version's matchers, fitted without the newest 7, 14 and 28 days."""
    from avrec.registry.commands import run_of

    inputs = ["--inputs-of", "evaluate", "--inputs-of", "refit"]
    _pipeline("pipelines.inside", run_of(version), *inputs, "--", "python", "-m", "pipelines.staleness")


@models.command()
def shadow(version: str) -> None:
    """Make a version's lists beside the champion's and compare them; the approval page shows the result."""
    from avrec.registry.commands import run_of

    pull = ["--pull", "data/valid", "--pull", "artifacts/bundle"]
    _pipeline("pipelines.inside", run_of(version), *pull, "--", "python", "-m", "pipelines.shadow", version)


@models.command(hidden=True)
def judge(version: str) -> None:
    """Judge a version with the data of the current folder, which is a checkout of its run."""
    from avrec.registry.commands import gate_version

    raise SystemExit(gate_version(version))


@models.command()
def approve(
    version: str,
    reason: Annotated[str, typer.Option(prompt=True, help="Why.")],
    override: Annotated[
        bool, typer.Option("--override", help="Approve although the gate refused; kept on record.")
    ] = False,
) -> None:
    """Approve a gated version; asks for a login."""
    from avrec.registry.commands import decide

    decide(version, approved=True, reason=reason, override=override)


@models.command()
def reject(version: str, reason: Annotated[str, typer.Option(prompt=True, help="Why.")]) -> None:
    """Refuse a gated version; asks for a login."""
    from avrec.registry.commands import decide

    decide(version, approved=False, reason=reason)


@models.command()
def promote(
    version: str,
    again: Annotated[bool, typer.Option("--again", help="Also a version that was rolled back.")] = False,
) -> None:
    """Make an approved version the champion."""
    from avrec.registry.commands import promote_version

    promote_version(version, again)


@models.command()
def rollback(
    reason: Annotated[str, typer.Option(prompt=True, help="Why.")],
    tables: Annotated[bool, typer.Option(help="Also publish the newest day's table with the earlier version.")] = True,
) -> None:
    """Make the previous champion the champion again and publish its lists; asks for a login."""
    from avrec.recommend.publication import Publisher
    from avrec.registry.commands import roll_back

    move = roll_back(reason)
    newest = Publisher.of_settings().tables.newest() if tables else None
    if newest is not None:
        _pipeline("pipelines.publish", "all", "--date", str(newest.run_date), "--version", move.version)


# Tables ---------------------------------------------------------------------------------------------------------

Day = Annotated[str, typer.Option("--date", help="Day the lists are for, YYYY-MM-DD.")]
Publication = Annotated[str | None, typer.Option(help="A superseded publication of that day.")]


@tables.command("publish")
def publish_table(
    day: Day,
    version: Annotated[str, typer.Option(help="Registered version or alias.")] = "champion",
    data: Annotated[str | None, typer.Option(help="Run with newer histories and items.")] = None,
) -> None:
    """Make, validate and publish the table of a day; repeating it changes nothing."""
    newer = ["--data", data] if data else []
    _pipeline("pipelines.publish", "all", "--date", day, "--version", version, *newer)


@tables.command("list")
def list_tables() -> None:
    """Every publication, the ones in force and the superseded ones."""
    from avrec.recommend.commands import print_publications

    print_publications()


@tables.command("show")
def show_list(
    user: Annotated[str, typer.Option(help="Pseudonym, or '*' for the default list.")] = "*",
    day: Annotated[str | None, typer.Option("--date", help="YYYY-MM-DD; by default the latest.")] = None,
) -> None:
    """One person's list as published."""
    from avrec.recommend.commands import print_list

    print_list(day, user)


@tables.command("trace")
def trace_row(
    day: Day,
    user: Annotated[str, typer.Option(help="Pseudonym, or '*'.")],
    rank: Annotated[int, typer.Option(help="Position in the list.")] = 1,
    publication: Publication = None,
) -> None:
    """Follow a row to its publication, model, MLflow run, code and data."""
    one = ["--publication", publication] if publication else []
    _pipeline("pipelines.lineage", "trace", "--date", day, "--user", user, "--rank", str(rank), *one)


@tables.command("remake")
def remake_list(
    day: Day,
    user: Annotated[str, typer.Option(help="Pseudonym, or '*'.")],
    into: Annotated[Path, typer.Option(help="Folder the run is restored in; used again if it is there.")],
    publication: Publication = None,
) -> None:
    """Restore what made a list, make the list again and compare bit by bit."""
    one = ["--publication", publication] if publication else []
    _pipeline("pipelines.lineage", "remake", "--date", day, "--user", user, "--into", str(into), *one)


@app.command()
def benchmark(
    name: Annotated[str, typer.Argument(help="tiktok or movielens.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    split: Annotated[str, typer.Option(help="val (cross-fit) or test (needs test.csv).")] = "val",
    json: Annotated[Path | None, typer.Option(help="Also write the rows here.")] = None,
    matchers: Annotated[str | None, typer.Option(help="NAME,NAME,...: only these, and a hybrid of them.")] = None,
    seeds: Annotated[int, typer.Option(help="Number of repetitions, each with another seed; the spread is shown.")] = 1,
) -> None:
    """Run every matcher on a public data set and print one table."""
    from avrec.evaluation.benchmark import run_benchmark

    run_benchmark(name, data, split, json, matchers.split(",") if matchers else None, seeds)


def _pipeline(module: str, *arguments: str) -> None:
    """Runs a module of `pipelines` as a process: the library itself knows neither DVC nor git."""
    raise SystemExit(subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode)


if __name__ == "__main__":
    main()
