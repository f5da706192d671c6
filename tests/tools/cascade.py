"""cascade.py FRUGAL: fit and eval as a user runs them, on a made service whose truth is known."""
import json
import pathlib
import random
import subprocess
import sys
import tempfile

FRUGAL = sys.argv[1]


def outcome(number, dice):
    kind = dice.choice(["easy", "middling", "hard"])
    right = {"easy": 0.95, "middling": 0.75, "hard": 0.3}[kind]
    small, big = dice.random() < right, dice.random() < 0.92
    size = dice.randrange(40, 400)
    attempts = [
        {"tier": "small", "correct": small, "output": "So it is." if dice.random() < (0.9 if small else 0.2) else "So (it",
         "input_tokens": size // 4, "output_tokens": 4, "cost": size * 1e-7},
        {"tier": "big", "correct": big, "input_tokens": size // 4, "output_tokens": 4, "cost": size * 1e-6}]
    return {"id": str(number), "type": kind, "prompt": "x" * size, "attempts": attempts}


def write(path, lines, seed):
    dice = random.Random(seed)
    path.write_text("".join(json.dumps(outcome(i, dice)) + "\n" for i in range(lines)))
    return str(path)


def run(*arguments):
    return subprocess.run([FRUGAL, "cascade", *arguments], capture_output=True, text=True, timeout=300)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        fit_on, eval_on = write(folder / "fit.jsonl", 2000, 1), write(folder / "eval.jsonl", 1000, 2)
        policy, page = str(folder / "policy.json"), folder / "front.html"

        done = run("fit", fit_on, "--max-error", "0.10", "-o", policy)
        assert done.returncode == 0, done.stderr
        done = run("eval", policy, eval_on, "--json", "--report", str(page))
        assert done.returncode == 0, done
        found = json.loads(done.stdout)
        assert found["n"] == 1000 and found["guarantee"]["held"] and found["error_among_accepted"] <= 0.10, found
        assert 0 < found["accepted_share"] < 1 and found["cost_share_of_last"] < 1, found
        assert {p["name"] for p in found["front"]} >= {"tier small", "tier big", "random mix", "oracle", "policy"}
        assert "</svg>" in page.read_text()

        broken = folder / "worse.jsonl"  # the small tier has become bad: the guarantee does not hold any more
        rows = [json.loads(line) for line in pathlib.Path(eval_on).read_text().splitlines()]
        for row in rows:
            row["attempts"][0]["correct"] = False
        broken.write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = run("eval", policy, str(broken))
        assert done.returncode == 1 and "did not hold" in done.stdout, done

        few = write(folder / "few.jsonl", 40, 3)
        done = run("fit", few, "--max-loss", "0.01", "-o", policy)
        assert done.returncode == 2 and "outcomes like these would do" in done.stderr, done
        for words, what in ((["fit", fit_on, "-o", policy], "--max-loss or --max-error"),
                            (["fit", str(folder / "none"), "--max-loss", "0.1", "-o", policy], "none"),
                            (["fit", fit_on, "--max-loss", "2", "-o", policy], "max-loss"),
                            (["eval", fit_on, eval_on], "not valid JSON")):
            done = run(*words)
            assert done.returncode == 2 and what in done.stderr, (words, done)

        good = pathlib.Path(few).read_text().splitlines()
        for name, change in (("duplicate", lambda row: row.update(id="0")), ("no id", lambda row: row.pop("id")),
                             ("tiers", lambda row: row["attempts"].pop()), ("cost", lambda row: row["attempts"][0].update(cost=-1)),
                             ("label", lambda row: row["attempts"][1].pop("correct"))):
            row = json.loads(good[1])
            change(row)
            bad = folder / "bad.jsonl"
            bad.write_text("\n".join([good[0], json.dumps(row), *good[2:]]) + "\n")
            for words in (["fit", str(bad), "--max-loss", "0.1", "-o", policy], ["eval", policy, str(bad)]):
                done = run(*words)
                assert done.returncode == 2 and "bad.jsonl line 2" in done.stderr, (name, words, done)
        kept = pathlib.Path(fit_on).read_text()
        done = run("fit", fit_on, "--max-error", "0.10", "-o", fit_on)
        assert done.returncode == 2 and "is the input itself" in done.stderr, done
        assert pathlib.Path(fit_on).read_text() == kept
    print("cascade fit and eval: as promised")


main()
