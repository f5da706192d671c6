"""prefix: a prompt whose long beginning was answered before; time to first token with a new question at its end."""
import json
import socket
import subprocess
import tempfile
import time
import urllib.request

from harness.rows import Row, interleave
from harness.setup import ROOT

POLICY = ROOT / "examples/data/support_policy.txt"
QUESTIONS = ROOT / "examples/data/support_questions.tsv"


def questions():
    return [f"\n\nQuestion: {line.split(chr(9))[1]}\nAnswer:" for line in QUESTIONS.read_text().splitlines()[:8]]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.load(reply)


class Server:
    """llama-server on a port of its own while the block runs."""

    def __init__(self, bench, *more):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.command = [bench.llama("llama-server"), "-m", bench.model, "-t", bench.threads, "-c", 4096, "-np", 1, "--no-webui",
                        "--port", self.url.rsplit(":", 1)[1], *more]

    def __enter__(self):
        null = subprocess.DEVNULL
        self.process = subprocess.Popen([str(c) for c in self.command], stdin=null, stdout=null, stderr=null)
        for _ in range(300):
            try:
                urllib.request.urlopen(self.url + "/health", timeout=1).read()
                return self
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        raise SystemExit("llama-server did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def first_token(self, prompt):
        """(wall milliseconds of a request for one token, the milliseconds of its prompt by the server's own clock)."""
        start = time.perf_counter()
        reply = post(self.url + "/completion", {"prompt": prompt, "n_predict": 1, "cache_prompt": True, "temperature": 0})
        return 1e3 * (time.perf_counter() - start), reply["timings"]["prompt_ms"]


def ask_server(bench, prefix):
    with Server(bench) as server:
        times = [server.first_token(prefix + q) for q in questions()]
    return {"cold": times[0][1], "wall": min(t[0] for t in times[1:]), "prompt": min(t[1] for t in times[1:])}


def run(bench):
    prefix = POLICY.read_text().rstrip()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(prefix)
        file.flush()
        asked = [a for q in questions() for a in ("--question", q)]
        ours = lambda: bench.frugal("prefix", "--prefix-file", file.name, *asked)
        peer = (lambda: ask_server(bench, prefix)) if bench.peers else (lambda: None)
        mine, theirs = interleave(bench.rounds, ours, peer)
    least = lambda side, key: min(s[key] for s in side) if bench.peers or side is mine else None
    case = f"{mine[0]['cached']} of {mine[0]['input']} tokens cached"
    peer_name = "llama-server"
    yield Row("prefix", case, "warm TTFT", "ms", least(mine, "warm_ms"), least(theirs, "wall"), peer_name, 2.0, False)
    yield Row("prefix", case, "warm TTFT, no HTTP", "ms", least(mine, "warm_ms"), least(theirs, "prompt"), peer_name, None, False)
    yield Row("prefix", f"{mine[0]['input']} tokens, cold", "TTFT", "ms", least(mine, "cold_ms"), least(theirs, "cold"), peer_name, None,
              False)
