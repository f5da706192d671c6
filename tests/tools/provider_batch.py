"""provider_batch.py FRUGAL: `frugal batch --provider` against made-up providers with the batch APIs of OpenAI and Anthropic: whole runs, SIGKILL
in the worst moments, refusals and half-broken results. Nothing may be sent twice, and each line has one answer.
"""
import collections
import email.parser
import http.server
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

KEY, PROMPT = "planted-key-9d1f", "planted prompt qwxyz"
FRUGAL = sys.argv[1]


class Provider(http.server.ThreadingHTTPServer):
    """Keeps files and batches; a batch ends at the second look. `at` names a moment in which it stops answering, until `go_on` is set."""

    daemon_threads, request_queue_size = True, 64

    def __init__(self, kind):
        super().__init__(("127.0.0.1", 0), Handler)
        self.kind, self.lock = kind, threading.Lock()
        self.files, self.batches, self.looks, self.asked = {}, {}, collections.Counter(), []
        self.at, self.reached, self.go_on, self.busy, self.odd, self.refuses = None, threading.Event(), threading.Event(), 0, {}, None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """A client that was killed."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def moment(self, name):
        if self.at == name:
            self.reached.set()
            self.go_on.wait(20)

    def answer_of(self, custom_id, body):
        """The result line of one request."""
        text = body["messages"][-1]["content"]
        text = text if isinstance(text, str) else text[0]["text"]
        odd = next((kind for word, kind in self.odd.items() if word in text), None)
        usage = {"prompt_tokens": 1000, "completion_tokens": 100}
        if self.kind == "openai":
            if odd == "error":
                return {"custom_id": custom_id, "response": {"status_code": 400, "body": {"error": {"message": "no such thing"}}}, "error": None}
            if odd == "expired":
                return {"custom_id": custom_id, "response": None, "error": {"code": "batch_expired", "message": "it took too long"}}
            message = {"role": "assistant", "content": "answer to " + text}
            return {"custom_id": custom_id, "error": None, "response": {"status_code": 200, "body": {
                "model": body["model"], "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}}}
        if odd == "error":
            return {"custom_id": custom_id, "result": {"type": "errored", "error": {"type": "error", "error": {
                "type": "invalid_request_error", "message": "no such thing"}}}}
        if odd == "expired":
            return {"custom_id": custom_id, "result": {"type": "expired"}}
        return {"custom_id": custom_id, "result": {"type": "succeeded", "message": {
            "model": body["model"], "content": [{"type": "text", "text": "answer to " + text}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 1000, "output_tokens": 100}}}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, value, slowly=False):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if slowly:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.moment("results")
            body = body[len(body) // 2:]
        self.wfile.write(body)

    def allowed(self):
        key = self.headers.get("x-api-key") if self.server.kind == "anthropic" else self.headers.get("Authorization", "").removeprefix("Bearer ")
        if key != KEY:
            self.say(401, {"error": {"message": "wrong key"}})
        elif self.server.busy > 0:
            self.server.busy -= 1
            self.say(503, {"error": {"message": "overloaded"}})
        return key == KEY and not self.close_connection

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(("POST", self.path))
        if self.headers.get("x-api-key", self.headers.get("Authorization", "").removeprefix("Bearer ")) != KEY:
            return self.say(401, {"error": {"message": "wrong key"}})
        s = self.server
        if self.path == "/v1/files":
            form = email.parser.BytesParser().parsebytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body)
            parts = {re.search('name="([^"]*)"', p["Content-Disposition"])[1]: p.get_payload(decode=True) for p in form.get_payload()}
            assert parts["purpose"] == b"batch", parts
            name = f"file-{len(s.files)}"
            s.files[name] = parts["file"]
            return self.say(200, {"id": name, "object": "file"})
        order = json.loads(body)
        if s.kind == "openai":
            assert self.path == "/v1/batches" and order["endpoint"] == "/v1/chat/completions" and order["completion_window"] == "24h", order
            requests = [json.loads(line) for line in s.files[order["input_file_id"]].splitlines()]
            assert all(r["method"] == "POST" and r["url"] == order["endpoint"] for r in requests)
            requests = [(r["custom_id"], r["body"]) for r in requests]
        else:
            assert self.path == "/v1/messages/batches" and self.headers["anthropic-version"], self.path
            requests = [(r["custom_id"], r["params"]) for r in order["requests"]]
        assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", i) for i, _ in requests) and len({i for i, _ in requests}) == len(requests)
        assert all("stream" not in b and "stream_options" not in b for _, b in requests)
        s.moment("before")
        name = f"batch_{len(s.batches)}"
        s.batches[name] = {"id": name, "requests": requests, "metadata": order.get("metadata"), "made": time.time()}
        s.moment("after")
        self.say(200, self.seen(name))

    def seen(self, name):
        s, batch = self.server, self.server.batches[name]
        ended = s.looks[name] >= 2
        if s.kind == "openai":
            out = {"id": name, "metadata": batch["metadata"], "status": "completed" if ended else "in_progress"}
            if ended:
                out |= {"output_file_id": "out-" + name, "error_file_id": "err-" + name}
            if s.refuses:
                out |= {"status": "failed", "output_file_id": None, "error_file_id": None, "errors": {"data": [{"message": s.refuses}]}}
            return out
        made = time.strftime("%Y-%m-%dT%H:%M:%S.000001Z", time.gmtime(batch["made"]))
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        counts["succeeded" if ended else "processing"] = len(batch["requests"])
        return {"id": name, "created_at": made, "processing_status": "ended" if ended else "in_progress", "request_counts": counts,
                "results_url": f"{s.url}/messages/batches/{name}/results" if ended else None}

    def do_GET(self):
        self.server.asked.append(("GET", self.path))
        if not self.allowed():
            return None
        s, path = self.server, self.path.split("?")[0]
        base = "/v1/batches" if s.kind == "openai" else "/v1/messages/batches"
        if path == base:
            return self.say(200, {"data": [self.seen(name) for name in s.batches]})
        results = re.fullmatch(r"/v1/files/(out|err)-(batch_\d+)/content|/v1/messages/batches/(batch_\d+)/results", path)
        if results:
            name = results[2] or results[3]
            lines = [s.answer_of(i, b) for i, b in reversed(s.batches[name]["requests"])]
            if s.kind == "openai":  # errors stand in a file of their own
                wrong = [x for x in lines if not x["response"] or x["response"]["status_code"] != 200]
                lines = wrong if results[1] == "err" else [x for x in lines if x not in wrong]
            text = "not json\n\n" + "".join(json.dumps(x) + "\n" for x in lines)
            return self.say(200, text.encode(), slowly=results[1] != "err")
        name = path.removeprefix(base + "/")
        if name not in s.batches:
            return self.say(404, {"error": {"message": "no such batch"}})
        s.looks[name] += 1
        s.moment("look")
        return self.say(200, self.seen(name))


def write(path, count, model):
    lines = [{"custom_id": f"q{n}", "method": "POST", "url": "/v1/chat/completions", "body": {
        "model": model, "messages": [{"role": "user", "content": f"{PROMPT} {n // 2}"}], "max_tokens": 50}} for n in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


MODEL = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}


class Work:
    """A folder, a provider, and the command that is run again and again."""

    def __init__(self, kind, folder, count=12):
        self.provider, self.count = Provider(kind), count
        folder.mkdir()
        self.out, self.key = folder / "out.jsonl", folder / "key"
        self.key.write_text(KEY + "\n")
        self.source = write(folder / "in.jsonl", count, MODEL[kind])
        self.command = [FRUGAL, "batch", str(self.source), str(self.out), "--provider", kind, "--model", MODEL[kind], "--url", self.provider.url,
                        "--key-file", str(self.key), "--poll", "0.1", "--json"]

    def run(self, code=0):
        done = subprocess.run(self.command, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        for planted in (KEY, PROMPT):
            assert planted not in done.stderr + done.stdout, done.stderr
        return json.loads(done.stdout)

    def kill_at(self, moment):
        p = self.provider
        p.at = moment
        process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert p.reached.wait(60), moment
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        p.at = None
        p.go_on.set()
        time.sleep(0.1)

    def lines(self):
        return [json.loads(line) for line in self.out.read_text().splitlines()] if self.out.exists() else []

    def check(self, batches):
        answered = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in self.lines() if not line["error"]}
        assert answered == {f"q{n}": f"answer to {PROMPT} {n // 2}" for n in range(self.count)}, answered
        assert len(self.lines()) == self.count and len(self.provider.batches) == batches, (len(self.lines()), len(self.provider.batches))
        assert not pathlib.Path(str(self.out) + ".batches").exists()


def whole(kind, folder):
    work = Work(kind, folder)
    work.provider.busy = 2  # two looks fail
    summary = work.run()
    assert summary["answered"] == work.count and summary["usage"]["input"] == 1000 * work.count, summary
    full = {"openai": (0.15, 0.60), "anthropic": (1.00, 5.00)}[kind]  # dollars a million tokens
    half = 0.5e-6 * work.count * (1000 * full[0] + 100 * full[1])
    assert "cost" in summary and abs(summary["cost"] - half) < 1e-9, (summary, half)
    work.check(batches=1)
    asked = len(work.provider.asked)
    assert work.run()["known"] == work.count and len(work.provider.asked) == asked  # nothing is left to ask for


def killed(kind, folder):
    """In every moment that matters."""
    for moment in ("before", "after", "look", "results"):
        work = Work(kind, folder / moment if folder.exists() else (folder.mkdir() or folder / moment))
        work.kill_at(moment)
        work.run()
        work.check(batches=1 if moment != "before" else len(work.provider.batches))
        assert len(work.provider.batches) <= 2  # "before": the order was under way, and may have come after all


def odd(kind, folder):
    """Errors of single lines are theirs; what expired is asked for again by the next run."""
    work = Work(kind, folder, count=8)
    work.provider.odd = {f"{PROMPT} 1": "error", f"{PROMPT} 2": "expired"}
    summary = work.run(code=1)
    assert summary["answered"] == 4 and summary["failed"] == 2 and summary["left"] == 2, summary
    wrong = [line for line in work.lines() if line["error"]]
    assert len(wrong) == 2 and all("no such thing" in line["error"]["message"] for line in wrong), wrong
    work.provider.odd = {}
    summary = work.run(code=1)
    assert summary["answered"] == 2 and summary["known"] == 6, summary
    assert len(work.provider.batches) == 2 and len(work.provider.batches["batch_1"]["requests"]) == 2, {n: len(b["requests"]) for n, b in work.provider.batches.items()}


def refused(kind, folder):
    work = Work(kind, folder, count=4)
    work.key.write_text("another key\n")
    summary = work.run(code=1)
    assert summary["failed"] == 4 and not work.provider.batches, summary
    assert all("refuses the key" in line["error"]["message"] for line in work.lines()), work.lines()
    if kind == "openai":
        work = Work(kind, folder / "whole", count=4)
        work.provider.refuses = "the file is not to our liking"
        assert work.run(code=1)["failed"] == 4
        assert all("not to our liking" in line["error"]["message"] for line in work.lines())


with tempfile.TemporaryDirectory() as name:
    for kind in ("openai", "anthropic"):
        for test in (whole, killed, odd, refused):
            start = time.time()
            test(kind, pathlib.Path(name) / f"{kind}-{test.__name__}")
            print(f"{kind} {test.__name__}: ok, {time.time() - start:.1f} s", flush=True)
