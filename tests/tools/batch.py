"""batch.py FRUGAL [MODEL] [--requests N] [--kills N] [--seed N]: `frugal batch` as a user runs it: wrong lines, refused runs, and SIGKILL at
random moments. Prompts are sentences of this repository's own pages. The whole test (FRUGAL_BATCH=full): --requests 500 --kills 50.
"""
import argparse
import collections
import fcntl
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FULL = os.environ.get("FRUGAL_BATCH") == "full"
parser = argparse.ArgumentParser()
parser.add_argument("frugal")
parser.add_argument("model", nargs="?")
parser.add_argument("--requests", type=int, default=500 if FULL else 50)
parser.add_argument("--kills", type=int, default=50 if FULL else 8)
parser.add_argument("--seed", type=int, default=20)
O = parser.parse_args()


def command(source, target, *more):
    return [O.frugal, "batch", str(source), str(target), "--model", O.model or "no-such-model.gguf", "--kv-mib", "256", *more]


def run(source, target, *more, code=0, stdin=None):
    done = subprocess.run(command(source, target, *more), capture_output=True, text=True, timeout=600, input=stdin)
    assert done.returncode == code, (done.args, done.returncode, done.stderr[-2000:])
    return done


def lines(path):
    text = path.read_bytes()
    assert not text or text.endswith(b"\n"), text[-200:]
    return [json.loads(line) for line in text.splitlines()]


def line(custom_id, url="/v1/completions", method="POST", **body):
    return {"custom_id": custom_id, "method": method, "url": url, "body": body}


def chat(custom_id, text, **body):
    return line(custom_id, "/v1/chat/completions", messages=[{"role": "user", "content": text}], **body)


def write(path, requests):
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in requests))
    return path


def wrong_lines(folder):
    """Every wrong line has one error line that says what and where; a second run adds none; no model is loaded for it."""
    nested = '{"custom_id": "deep", "body": ' + "[" * 300 + "]" * 300 + "}"
    body = {"prompt": "x"}
    source = write(folder / "wrong.jsonl", [
        "not json", "", "[1, 2]", nested, json.dumps({"method": "POST", "url": "/v1/completions", "body": body}),
        line("", prompt="x"), line("url", "/v1/embeddings", input="x"), line("get", method="GET", prompt="x"),
        '{"custom_id": "twice", "custom_id": "twice", "method": "POST", "url": "/v1/completions", "body": {"prompt": "x"}}',
        line("stream", prompt="x", stream=True), line("n", prompt="x", n=3), line("warm", prompt="x", temperature=2.5),
        line("cap", prompt="x", max_tokens=0), line("stop", prompt="x", stop=[1]), line("field", prompt="x", frobnicate=1),
        line("many", prompt=["a", "b"]), line("none"), chat("caps", "x", max_tokens=3, max_completion_tokens=4),
        chat("forced", "x", tool_choice="required"), line("empty", "/v1/chat/completions", messages=[]),
        line("image", "/v1/chat/completions", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
        chat("schema", "x", response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "string", "format": "regex"}}}),
        line("stream", prompt="y")])  # fmt: off
    target = folder / "wrong-out.jsonl"
    summary = json.loads(run(source, target, "--json", "--quiet", code=1).stdout)
    found = lines(target)
    assert len(found) == 22 and summary["lines"] == 22 and summary["malformed"] + summary["failed"] == 22, summary
    by_line = {f["error"]["line"]: f for f in found}
    assert sorted(by_line) == [n for n in range(1, 24) if n != 2], sorted(by_line)
    expected = {1: (None, "not valid JSON"), 4: (None, "deeper than"), 5: ("custom_id", "missing"), 6: ("custom_id", "not empty"),
                7: ("url", "/v1/embeddings"), 8: ("method", "POST"), 9: (None, "twice"), 10: ("body.stream", "stream"), 11: ("body.n", "1"),
                12: ("body.temperature", "2.5"), 13: ("body.max_tokens", "0"), 14: ("body.stop[0]", "text"), 15: ("body.frobnicate", "not known"),
                16: ("body.prompt", "several"), 17: ("body.prompt", "missing"), 18: ("body.max_tokens", "max_completion_tokens"),
                19: ("body.tool_choice", "auto"), 20: ("body.messages", "no message"), 21: ("body.messages", "image_url"),
                22: ("body.response_format.json_schema.schema", "regex"), 23: ("custom_id", "line 10")}
    for number, (param, words) in expected.items():
        error = by_line[number]["error"]
        assert error["param"] == param and words in error["message"], error
        assert f"wrong.jsonl: line {number}" in error["message"], error
        malformed = number in (1, 3, 4, 5, 6, 7, 8, 9, 23)
        assert (by_line[number]["response"] is None) == malformed, by_line[number]
        assert malformed or by_line[number]["response"]["status_code"] == 400
    before = target.read_bytes()
    run(source, target, "--quiet", code=1)
    assert target.read_bytes() == before
    write(source, ["{}" if i == 0 else r for i, r in enumerate(source.read_text().split("\n")[:-1])])  # another wrong line 1: a new error
    run(source, target, "--quiet", code=1)
    assert len(lines(target)) == 23


def refused_runs(folder):
    """Files that are not the output of a batch stay as they are; two runs never write to one file."""
    source = write(folder / "one.jsonl", [line("a", prompt="x", stream=True)])
    assert "itself" in run(source, source, code=2).stderr
    for text in ("a letter to my aunt", '{"id": 1}\n', '{"id":"batch_req_1"}\n{"other": 1}\n', '{"id":"batch_req_1","custom_id":"a","resp\n'):
        foreign = folder / "foreign.jsonl"
        foreign.write_text(text)
        run(source, foreign, code=2)
        assert foreign.read_text() == text, text
    assert "pipe" in (os.mkfifo(folder / "pipe"), run(source, folder / "pipe", code=2).stderr)[1]
    target = folder / "locked.jsonl"
    with open(target, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another run" in run(source, target, code=2).stderr
    run(source, target, code=1)
    assert "device" in run(source, "/dev/full", code=2).stderr
    cut = folder / "cut.jsonl"
    for size in range(1, len(target.read_bytes())):  # an unfinished last line, wherever it ends
        if size % 37 == 0 or size < 4:
            cut.write_bytes(target.read_bytes()[:size])
            run(source, cut, "--quiet", code=1)
            assert cut.read_bytes() == target.read_bytes()


def sentences():
    """Sentences of the pages, in order: prose only."""
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        prose = re.sub(r"```.*?```", " ", page.read_text(), flags=re.S)
        for paragraph in re.split(r"\n\s*\n", prose):
            if re.match(r"\s*[A-Z]", paragraph) and "|" not in paragraph:
                found += [s for s in re.split(r"(?<=[.:])\s+", " ".join(paragraph.split())) if 30 < len(s) < 160]
    return found


def real_requests(count):
    """Greedy and drawn, chats that share their beginning and completions, with stops, logprobs and schemas among them."""
    pool, requests = sentences(), []
    yes = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object", "properties": {"clear": {"type": "boolean"}},
                                                                           "required": ["clear"], "additionalProperties": False}}}
    tasks = ("Say it in fewer words.", "What is it about?", "Name one word of it.")
    for i in range(count):
        text, custom_id = pool[i % len(pool)], f"request-{i}"
        drawn = {} if i % 2 else {"temperature": 0}
        if i % 3 == 2:
            requests.append(line(custom_id, prompt=text[: len(text) * 2 // 3], max_tokens=8, logprobs=1 if i % 5 == 0 else None, **drawn))
        else:
            shape = {"response_format": yes, "max_tokens": 16} if i % 25 == 7 else {"max_tokens": 4 + i % 7, "stop": "." if i % 4 else None}
            requests.append(chat(custom_id, f"{tasks[i // len(pool) % 3]} {text}", **shape, **drawn))
    return requests


def text_of(answer):
    assert answer["error"] is None and answer["response"]["status_code"] == 200, answer
    choice = answer["response"]["body"]["choices"][0]
    content = choice["message"]["content"] if "message" in choice else choice["text"]
    return content, choice["finish_reason"], json.dumps(choice["logprobs"])


def kills(folder):
    requests = real_requests(O.requests)
    source = write(folder / "in.jsonl", requests)
    calm, disturbed = folder / "calm.jsonl", folder / "disturbed.jsonl"
    began = time.monotonic()
    summary = json.loads(run(source, calm, "--json", "--quiet").stdout)
    whole = time.monotonic() - began
    expected = {answer["custom_id"]: text_of(answer) for answer in lines(calm)}
    assert len(expected) == O.requests == summary["answered"], summary
    check_bodies(requests, lines(calm), summary)

    began = time.monotonic()
    count = Kills(source, folder, expected).run()
    print(f"{O.requests} requests, {O.kills} kills in {count['rounds']} rounds ({count['grew']} after further answers, {count['early']} before the "
          f"first, {count['torn']} within a line): every line once, every text as undisturbed; undisturbed {whole:.1f} s, disturbed "
          f"{time.monotonic() - began:.1f} s; {100 * summary['usage']['cached_read'] / summary['usage']['input']:.0f} % of the prompts cached")


class Kills:
    """Rounds of one output file each, until the kills are used up. The last round ends undisturbed."""

    def __init__(self, source, folder, expected):
        self.source, self.folder, self.expected = source, folder, expected
        self.dice, self.count = random.Random(O.seed), collections.Counter()

    def run(self):
        while self.count["kills"] < O.kills:
            self.count["rounds"] += 1
            target = self.folder / f"round-{self.count['rounds']}.jsonl"
            while self.count["kills"] < O.kills and not self.ends_before_the_blow(target):
                self.count["kills"] += 1
            run(self.source, target, "--quiet")
            self.check(target)
        return self.count

    def ends_before_the_blow(self, target):
        """Starts the program and kills it: at a random moment from its start, or a random moment after a random number of answers."""
        had = size_of(target)
        process = subprocess.Popen(command(self.source, target, "--quiet", "--parallel", "8"), stderr=subprocess.PIPE)
        if self.dice.random() < 0.3:
            time.sleep(self.dice.uniform(0, 1))
        else:
            wanted = had + self.dice.randrange(1, 400 * max(8, 2 * O.requests // O.kills))
            while process.poll() is None and size_of(target) < wanted:
                time.sleep(0.002)
            time.sleep(self.dice.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        assert code in (-signal.SIGKILL, 0), (code, process.stderr.read())
        left = target.read_bytes() if target.exists() else b""
        self.count["grew"] += code != 0 and len(left) > had
        self.count["early"] += code != 0 and left == b""
        self.count["torn"] += left != b"" and not left.endswith(b"\n")
        return code == 0

    def check(self, target):
        answers = lines(target)
        ids = collections.Counter(answer["custom_id"] for answer in answers)
        assert set(ids) == set(self.expected) and set(ids.values()) == {1}, [i for i, n in ids.items() if n != 1][:5]
        differ = [a["custom_id"] for a in answers if text_of(a) != self.expected[a["custom_id"]]]
        assert not differ, differ[:5]
        before = target.read_bytes()
        run(self.source, target, "--quiet")
        assert target.read_bytes() == before


def size_of(path):
    return path.stat().st_size if path.exists() else 0


def check_bodies(requests, answers, summary):
    """Bodies are what clients of the API read."""
    asked = {r["custom_id"]: r for r in requests}
    total = collections.Counter()
    for answer in answers:
        request, body = asked[answer["custom_id"]], answer["response"]["body"]
        usage = body["usage"]
        total.update(input=usage["prompt_tokens"], output=usage["completion_tokens"], cached_read=usage["prompt_tokens_details"]["cached_tokens"])
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert usage["completion_tokens"] <= request["body"]["max_tokens"]
        is_chat = request["url"] == "/v1/chat/completions"
        assert body["object"] == ("chat.completion" if is_chat else "text_completion")
        assert answer["id"].startswith("batch_req_") and answer["response"]["request_id"].startswith("req_")
        choice = body["choices"][0]
        assert choice["finish_reason"] in ("stop", "length")
        if request["body"].get("logprobs") is not None:
            assert len(choice["logprobs"]["token_logprobs"]) == usage["completion_tokens"]
        if "response_format" in request["body"] and choice["finish_reason"] == "stop":
            assert set(json.loads(choice["message"]["content"])) == {"clear"}
    assert all(total[key] == summary["usage"][key] for key in total), (total, summary)
    assert len({a["id"] for a in answers}) == len(answers)


def changed_requests(folder):
    """An answered line whose text changed is refused; one that failed may be mended."""
    source, target = folder / "changed.jsonl", folder / "changed-out.jsonl"
    write(source, [line("a", prompt="One, two,", max_tokens=2), line("b", prompt="x", stream=True), line("c", model="other", prompt="x")])
    run(source, target, "--quiet", code=1)
    assert [a["response"]["status_code"] for a in sorted(lines(target), key=lambda a: a["custom_id"])] == [200, 400, 404]
    write(source, [line("a", prompt="One, two,", max_tokens=2), line("b", prompt="x", max_tokens=2), line("c", model="other", prompt="x")])
    run(source, target, "--quiet", "--serve-as", "other", code=1)
    assert [a["response"]["status_code"] for a in lines(target) if a["custom_id"] == "b"] == [400, 200]
    run(source, target, "--quiet", code=1)
    assert len(lines(target)) == 4
    write(source, [line("a", prompt="Another text", max_tokens=2)])
    assert "another text" in run(source, target, code=2).stderr
    done = run(write(source, [chat("t", "Hello", max_tokens=1)]), folder / "summary.jsonl")
    assert "1 answered" in done.stderr and "prefix cache" in done.stderr and "1 of 1" in done.stderr, done.stderr
    assert "-" not in run("-", folder / "stdin.jsonl", "--quiet", stdin=json.dumps(chat("t", "Hello", max_tokens=1))).stdout
    assert len(lines(folder / "stdin.jsonl")) == 1


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        wrong_lines(folder)
        refused_runs(folder)
        if O.model:
            changed_requests(folder)
            kills(folder)
    print("frugal batch: as promised")


main()
