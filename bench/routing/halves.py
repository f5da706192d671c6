"""halves.py PROGRAM OUTCOMES --keep FILE [--halves 200] [--max-loss 0.03 | --max-error A] [--confidence 0.95] [--baselines 20] [--minutes 7]:
does the certificate of `frugal cascade fit` hold? Fits on one random half of the outcomes, evaluates on the other, as often as asked, and
puts the plain routers of baselines.py beside it (with --max-loss and two tiers). Results are kept line by line in FILE: stopped after
--minutes, it goes on where it was when it is started again. Needs numpy (.deps/venv)."""
import argparse
import gzip
import json
import math
import os
import subprocess
import tempfile
import time

import numpy as np

import baselines


def upper(errors, n, confidence=0.975):
    """Clopper and Pearson's upper limit of a rate."""
    def below(p):
        return sum(math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p))
                   for k in range(errors + 1))
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) > 1 - confidence else (low, middle)
    return high if errors < n else 1.0


def one_half(o, lines, fit_rows, eval_rows, seed, folder):
    names = [os.path.join(folder, f"{seed}-{side}.jsonl") for side in ("fit", "eval")]
    for name, rows in zip(names, (fit_rows, eval_rows)):
        with open(name, "w") as file:
            file.writelines(lines[i] for i in rows)
    policy = os.path.join(folder, f"{seed}-policy.json")
    bound = ["--max-error", str(o.max_error)] if o.max_error else ["--max-loss", str(o.max_loss)]
    fit = subprocess.run([o.program, "cascade", "fit", names[0], *bound, "--confidence", str(o.confidence), "--seed", str(seed), "-o", policy, *o.fit.split()],
                         capture_output=True, text=True)
    if fit.returncode != 0:
        if "feasible" not in fit.stderr and "would not help" not in fit.stderr:
            raise SystemExit(fit.stderr)
        return {"seed": seed, "feasible": False}
    done = subprocess.run([o.program, "cascade", "eval", policy, names[1], "--json"], capture_output=True, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        raise SystemExit(done.stderr)
    e = json.loads(done.stdout)
    with open(policy) as file:
        method = json.load(file)
    return {"seed": seed, "feasible": True, "held": done.returncode == 0, "loss": e["loss_against_last"], "cost": e["cost_share_of_last"],
            "accepted": e["accepted_share"], "error": e["error_among_accepted"], "area": e.get("area_of_gap_recovered"),
            "method": method["method"], "features": len(method["features"])}


def interval(values):
    """2.5 %, mean, 97.5 % of the halves."""
    return [round(float(x), 4) for x in (np.quantile(values, 0.025), np.mean(values), np.quantile(values, 0.975))]


def report(o, runs, rows):
    good = [r for r in runs if r["feasible"]]
    broken = sum(not r["held"] for r in good)
    mean = lambda key: round(float(np.mean([r[key] for r in good if r[key] is not None])), 4)
    out = {"outcomes": len(rows), "halves": len(runs), "feasible": len(good), "held": len(good) - broken}
    if good:
        out |= {"broken_at_most_97.5%": round(upper(broken, len(good)), 4), "cost_share": interval([r["cost"] for r in good]),
                "cost_share_with_infeasible_as_1": round(float(np.mean([r["cost"] if r["feasible"] else 1 for r in runs])), 4),
                "loss": interval([r["loss"] for r in good]), "accepted": mean("accepted"), "error_among_accepted": mean("error"), "area": mean("area"),
                "judge": sum(r["method"] == "judge" for r in good)}
    tiers = [a["tier"] for a in rows[0]["attempts"]]
    last = sum(r["attempts"][-1]["cost"] for r in rows)
    out["single"] = {t: {"accuracy": round(float(np.mean([baselines.grade(r["attempts"][i]) for r in rows])), 4),
                         "cost_share": round(sum(r["attempts"][i]["cost"] for r in rows) / last, 4)} for i, t in enumerate(tiers)}
    beside = [r["beside"] for r in runs if "beside" in r]
    if beside:
        out["routers"], out["routers_over_halves"] = baselines.summary(beside), len(beside)
    print(json.dumps(out, indent=1))
    return broken


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("outcomes")
    parser.add_argument("--keep", required=True)
    parser.add_argument("--halves", type=int, default=200)
    parser.add_argument("--max-loss", type=float, default=0.03)
    parser.add_argument("--max-error", type=float)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--baselines", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=7)
    parser.add_argument("--fit", default="", help="further options of cascade fit, in one text")
    o = parser.parse_args()
    with (gzip.open if o.outcomes.endswith(".gz") else open)(o.outcomes, "rt") as file:
        lines = [line for line in file if line.strip()]
    rows = [json.loads(line) for line in lines]
    runs = [json.loads(line) for line in open(o.keep)] if os.path.exists(o.keep) else []
    table, done, ends = None, {r["seed"] for r in runs}, time.monotonic() + 60 * o.minutes
    with tempfile.TemporaryDirectory() as folder, open(o.keep, "a") as keep:
        for seed in range(1, o.halves + 1):
            if seed in done:
                continue
            if time.monotonic() > ends:
                break
            fit_rows, eval_rows = baselines.halves(len(lines), seed)
            run = one_half(o, lines, fit_rows, eval_rows, seed, folder)
            if seed <= o.baselines and not o.max_error and len(rows[0]["attempts"]) == 2:
                table = table or baselines.Table(rows)
                run["beside"] = baselines.measured(table, fit_rows, eval_rows, o.max_loss)
            for name in os.listdir(folder):
                os.remove(os.path.join(folder, name))
            runs.append(run)
            print(json.dumps(run), file=keep, flush=True)
    broken = report(o, runs, rows)
    # As often broken as the confidence allows, or so seldom that chance explains it.
    good = sum(r["feasible"] for r in runs)
    raise SystemExit(0 if good and broken <= (1 - o.confidence) * good else 1)


if __name__ == "__main__":
    main()
