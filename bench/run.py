"""bench/run.py SUITE... [--json FILE]: frugal beside its peers on the same file, threads and prompts, in one run.

Each figure is the best of several rounds, and in each round frugal and the peer take turns, so that a machine that slows down slows both.
A ratio says how many times better frugal is, whether the metric is a speed or a time; `limit` is the least ratio that is promised.
Peers are fetched and built on demand under .deps/peers (see docs/bench.md). A suite is one file of bench/suites.
"""
import argparse
import importlib
import json
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import models, peers, rows, setup  # noqa: E402

SUITES = sorted(p.stem for p in (pathlib.Path(__file__).parent / "suites").glob("*.py") if p.stem != "__init__")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="+", choices=[*SUITES, "all"], metavar="SUITE", help=", ".join(SUITES) + " or all")
    parser.add_argument("--json", type=pathlib.Path, help="where the rows go: a JSON array of objects " + ", ".join(rows.FIELDS))
    parser.add_argument("--model", default=str(models.DEFAULT),
                        help=f"a GGUF file or one of {', '.join(models.OPTIONAL)}, fetched on first use (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side; the best one counts (default %(default)s)")
    parser.add_argument("--build", type=pathlib.Path, default=setup.ROOT / "build/bench-suites",
                        help="build folder (default build/bench-suites)")
    parser.add_argument("--no-build", action="store_true", help="use the programs in --build as they are")
    parser.add_argument("--no-peers", action="store_true", help="frugal alone; no ratios to peers")
    parser.add_argument("--check", action="store_true", help="exit 1 where a ratio is below its limit")
    return parser.parse_args()


def main():
    options = arguments()
    options.model = models.find(options.model)
    bench = setup.Bench(options, None if options.no_peers else peers)
    found = []
    for name in SUITES if "all" in options.suite else options.suite:
        for row in importlib.import_module(f"suites.{name}").run(bench):
            found.append(row)
            print(rows.line(row), flush=True)
            if options.json:
                options.json.write_text(json.dumps([r.as_dict() for r in found], indent=1) + "\n")
    missed = [r for r in found if r.missed()]
    if missed:
        print(f"{len(missed)} below the limit: " + "; ".join(f"{r.suite}/{r.case} {r.metric}" for r in missed))
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
