"""heads.py FRUGAL MODEL DATA: train head -> head eval -> cascade record (broken off and gone on with) -> fit, by answers and by neighbours -> eval -> serve, as
a user runs them on a real model. How a policy is turned off by a drift is example_090's."""
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

FRUGAL, MODEL, DATA = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "server"))
from serving import Serving  # noqa: E402


def run(*arguments, code=0):
    done = subprocess.run([FRUGAL, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (arguments, done)
    return done


def serve(folder, head, policy, rows):
    """The fitted policy behind `frugal serve`: the head answers most requests of the type it was fitted for, and other tiers are refused."""
    content = {"models": [{"name": "big", "path": MODEL}], "heads": [{"name": "head", "head": head, "model": "big"}],
               "cascades": [{"name": "both", "tiers": ["head", "big"], "policy": policy}], "threads": 2, "kv_mib": 64}
    config = folder / "serve.json"
    config.write_text(json.dumps(content))
    right = 0
    with Serving(FRUGAL, folder, str(config), "--quiet", keys=False) as served:
        for row in rows:
            body = {"model": "both", "max_tokens": 4, "messages": [
                {"role": "system", "content": "Answer with one word: animal or vehicle."}, {"role": "user", "content": row["prompt"]}]}
            request = urllib.request.Request(served.url + "/v1/chat/completions", json.dumps(body).encode(), {
                "Content-Type": "application/json", "x-frugal-type": row["type"]})
            with urllib.request.urlopen(request, timeout=60) as reply:
                right += row["expected"] in json.load(reply)["choices"][0]["message"]["content"].lower()
        assert served.stop() == 0
    assert right > 0.7 * len(rows), right  # the big tier alone has few right
    content["models"][0]["name"], content["heads"][0]["model"], content["cascades"][0]["tiers"] = "other", MODEL, ["head", "other"]
    config.write_text(json.dumps(content))
    assert "other" in run("serve", str(config), "--listen", "127.0.0.1:0", "--quiet", code=2).stderr


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        head, outcomes, policy = str(folder / "h.safetensors"), folder / "o.jsonl", str(folder / "p.json")
        questions = (DATA / "questions.jsonl").read_text().splitlines(keepends=True)[:120]
        asked = folder / "q.jsonl"
        said = run("train", "head", "--model", MODEL, "--data", str(DATA / "labelled.jsonl"), "--layers", "4", "--quiet", "-o", head).stdout
        assert "2 labels, 4 of" in said, said
        fresh = folder / "fresh.jsonl"
        rows = [json.loads(line) for line in questions]
        fresh.write_text("".join(json.dumps({"text": r["prompt"], "label": r["expected"]}) + "\n" for r in rows))
        found = json.loads(run("head", "eval", head, "--model", MODEL, "--data", str(fresh), "--json", "--quiet").stdout)
        assert found["n"] == len(rows) and found["accuracy"] > 0.8, found

        record = ["cascade", "record", "--tier", f"head=head:{head}@{MODEL}", "--tier", f"big={MODEL}", "--requests", str(asked),
                  "--system", "Answer with one word: animal or vehicle.", "--max-tokens", "4", "--hidden", "4:mean", "--quiet", "-o", str(outcomes)]
        asked.write_text("".join(questions[:40]))
        run(*record, "--expect", "choice")
        with open(outcomes, "ab") as file:  # as a killed process leaves it
            file.write(b'{"id": "77", "attem')
        asked.write_text("".join(questions))
        said = run(*record, "--expect", "choice").stdout
        assert f"{len(questions) - 40} outcomes recorded, 40 were there before, 0 failed" in said, said
        lines = [json.loads(line) for line in outcomes.read_text().splitlines()]
        assert [l["id"] for l in lines] == [r["id"] for r in rows]
        tiers = lines[0]["attempts"]
        assert tiers[0]["model"].startswith("head@") and "@" in tiers[1]["model"] and tiers[0]["cost"] > 0, tiers
        assert tiers[0]["output"] in ("animal", "vehicle") and "margin.q10" in tiers[0]["features"], tiers

        run("cascade", "fit", str(outcomes), "--max-error", "0.25", "--confidence", "0.9", "--horizon", "0", "-o", policy)
        found = json.loads(run("cascade", "eval", policy, str(outcomes), "--json").stdout)
        assert found["guarantee"]["held"] and found["accepted_share"] > 0.2, found
        assert json.loads(pathlib.Path(policy).read_text())["models_of_tiers"] == [t["model"] for t in tiers]
        serves = "  serve " in run("--help").stdout
        if serves:
            serve(folder, head, policy, rows[:12])

        assert all(len(l["embedding"]) == len(lines[0]["embedding"]) and l["embedding_cost"] > 0 for l in lines)
        assert lines[0]["embedder"].endswith(" layers=4 pool=mean tokens=256"), lines[0]["embedder"]
        run("cascade", "fit", str(outcomes), "--router", "knn", "--max-error", "0.25", "--confidence", "0.9", "--horizon", "0", "-o", policy)
        known = json.loads(pathlib.Path(policy).read_text())
        assert known["method"] == "neighbours" and known["neighbours"]["embedder"] == lines[0]["embedder"], known["method"]
        found = json.loads(run("cascade", "eval", policy, str(outcomes), "--json").stdout)
        assert found["guarantee"]["held"] and found["accepted_share"] > 0.2, found
        if serves:
            serve(folder, head, policy, rows[:12])

        # A grader that hangs or breaks grades nothing, and its questions are not recorded.
        asked.write_text(questions[0])
        for command, what in (("sleep 30", "took longer than 300 ms"), ("exit 3", "ended with 3"), ("kill -9 $$", "signal 9")):
            other = folder / "other.jsonl"
            failed = [*record[:-1], str(other), "--expect", "command", "--command", command, "--time-limit", "0.3"]
            assert what in run(*failed, code=1).stderr, what
            assert not other.exists() or other.read_text() == ""
        judge = "python3 -c 'import json,sys; q=json.load(sys.stdin); sys.exit(q[\"answer\"] not in q[\"expected\"])'"
        run(*record[:-1], str(folder / "other.jsonl"), "--expect", "command", "--command", judge, "--time-limit", "20")
        assert json.loads((folder / "other.jsonl").read_text())["attempts"][0]["correct"] == tiers[0]["correct"]
        for more, what in ((["--expect", "json_schema"], "--schema"), (["--expect", "choice", "--parallel", "2"], "--parallel")):
            assert what in run(*record[:-1], str(folder / "x.jsonl"), *more, code=2).stderr
        odd = ["4:both" if word == "4:mean" else word for word in record[:-1]]
        assert "LAYERS:last" in run(*odd, str(folder / "x.jsonl"), "--expect", "exact", code=2).stderr
        broken = folder / "b.safetensors"
        data = bytearray(pathlib.Path(head).read_bytes())
        data[-3] ^= 1
        broken.write_bytes(data)
        assert "checksum" in run("head", "eval", str(broken), "--model", MODEL, "--data", str(fresh), code=2).stderr
    print("train, eval, record, fit, eval, serve: as promised")


main()
