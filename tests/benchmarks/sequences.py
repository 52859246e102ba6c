"""The sequence models of docs/sequences.md from their data to `edgemass eval`, resumable; prints the table of the page.

    pip install django==5.2      # its message catalogues are the texts; nothing of it is imported
    python tests/benchmarks/sequences.py --digits digits.png -o runs

digits.png is the sheet of OpenCV's samples. One core is enough: run it under `taskset -c 0` with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import csv
import gettext
import importlib.util
import json
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

LANGUAGES = (
    "ar", "cs", "da", "de", "el", "en", "es", "fi", "fr", "hu", "it", "ja", "ko", "nl",
    "pl", "pt", "ru", "sv", "tr", "uk",
)  # fmt: skip
LEAST_CHARACTERS = 12  # shorter ones are "OK" and "%s"
HELD_EVERY = 5
SCHEDULE = ["--batch", "64", "--lr", "4e-3", "--threads", "1"]


def messages() -> Iterator[tuple[str, str, str]]:
    """(English message, language, text) of Django's catalogues."""
    spec = importlib.util.find_spec("django")
    if spec is None or spec.origin is None:
        sys.exit("needs the package django for its message catalogues")
    for language in LANGUAGES:
        for path in sorted(Path(spec.origin).parent.rglob(f"locale/{language}/LC_MESSAGES/django.mo")):
            with path.open("rb") as file:
                catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
            for key, text in catalogue.items():
                message = (key[0] if isinstance(key, tuple) else key).rpartition("\x04")[2]
                if message and language != "en":
                    yield message, language, " ".join(text.split())
                    yield message, "en", " ".join(message.split())


def write_texts(folder: Path) -> None:
    """train.csv and test.csv: all translations of one message are in the same of them; what two languages share is left
    out, and what is very short.
    """
    found: dict[tuple[str, str], str] = {}
    for message, language, text in messages():
        if len(text) >= LEAST_CHARACTERS:
            found.setdefault((text, language), message)
    shared = Counter(text for text, _ in found)
    tables: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for (text, language), message in sorted(found.items()):
        if shared[text] == 1:
            tables[zlib.crc32(message.encode()) % HELD_EVERY == 0].append((text, language))
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in zip(("train", "test"), tables, strict=True):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])


def call(program: str, *arguments: object) -> str:
    print("+", program, *arguments, file=sys.stderr)
    command = [sys.executable, "-m", program, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=Path, required=True, metavar="PNG")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    out: Path = options.output
    write_texts(out / "data")
    texts = ["--data", out / "data" / "train.csv", "--val", out / "data" / "test.csv"]
    call("edgemass_tools", "train", "--net", "lstm-digits", "--data", options.digits, "--epochs", 60, *SCHEDULE,
         "--measure-every", 15, "-o", out / "digits")  # fmt: skip
    call("edgemass_tools", "train", "--net", "lstm-text", *texts, "--epochs", 15, *SCHEDULE, "-o", out / "language")
    print("| bundle | variant | top-1 in training | top-1 of `edgemass eval` | of | bytes |\n|---|---|---|---|---|---|")
    for name, run, more in (
        ("digits", "digits", []),
        ("digits-rows", "digits", ["--per-run", 7]),
        ("language", "language", []),
    ):
        bundle, held = out / f"bundle-{name}", out / run / "held"
        if not bundle.exists():
            call("edgemass_tools", "export", out / run / "model.pt", "--tflite", *more, "-o", bundle)
        trained = [json.loads(line) for line in (out / run / "history.jsonl").read_text().splitlines()][-1]["top1"]
        truth = (
            ["--texts", held / "truth.csv"] if run == "language" else ["--images", held, "--labels", held / "truth.csv"]
        )
        for variant in json.loads(call("edgemass", "model", "inspect", bundle, "--json"))["variants"]:
            found = json.loads(call("edgemass", "eval", bundle, *truth, "--variant", variant["name"], "--json"))
            row = (
                name,
                variant["name"],
                f"{trained:.4f}",
                f"{found['top1']:.4f}",
                found["images"],
                variant["size_bytes"],
            )
            print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
