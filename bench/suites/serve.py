"""serve: `frugal serve` beside llama-server: same model, threads, client and arrivals; goodput, TTFT and TPOT at three loads.

The loads are 50, 80 and 95 % of what the slower server answers when 16 clients ask without pause. Arrivals are Poisson, the same for both
sides. Goodput counts the answers that meet both latency objectives, as in DistServe (Zhong et al., OSDI 2024). The objectives were fixed
before anything was measured with them: "interactive" is MLPerf Inference's (v5.0, Llama 2 70B interactive: first token within 450 ms,
further ones 40 ms each), "relaxed" what this suite began with. The client is one process of asyncio and shares the machine with the
server; it costs both sides the same.
"""
import asyncio
import json
import random
import subprocess
import time
import urllib.request

from harness.rows import Row
from suites.prefix import free_port, questions

SLOTS, ANSWER, SECONDS = 16, 32, 25
OBJECTIVES = {"interactive": (0.45, 0.04), "relaxed": (1.0, 0.1)}  # seconds to the first token, and for a further one
INTRO = "You answer customers of a shop for garden tools. Be short and friendly, and never promise a date. "


def prompts(count, seed):
    """Conversations that share their first sentence only, about 60 to 160 tokens each."""
    rng = random.Random(seed)
    asked = [q.split("Question: ")[1].split("\n")[0] for q in questions()]
    return [[{"role": "system", "content": INTRO}, {"role": "user", "content": f"Order {rng.randrange(10**6)}. " + " ".join(
        rng.sample(asked, rng.randrange(2, 5)))}] for _ in range(count)]


class Served:
    """A server on a port of its own while the block runs."""

    def __init__(self, command, port):
        self.command, self.port = [str(c) for c in command], port

    def __enter__(self):
        null = subprocess.DEVNULL
        self.process = subprocess.Popen(self.command, stdin=null, stdout=null, stderr=null)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1).read()
                return self
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        raise SystemExit(f"{self.command[0]} did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def frugal(bench):
    port = free_port()
    return Served([bench.program("frugal"), "serve", "--model", f"m={bench.model}", "--threads", bench.threads, "--listen",
                   f"127.0.0.1:{port}", "--quiet"], port)


def llama(bench):
    port = free_port()
    return Served([bench.llama("llama-server"), "-m", bench.model, "-t", bench.threads, "-c", SLOTS * 512, "-np", SLOTS, "--no-webui",
                   "--port", port], port)


async def ask(port, messages):
    """(seconds to the first token, seconds a further token) of one streamed answer."""
    body = json.dumps({"model": "m", "messages": messages, "max_tokens": ANSWER, "temperature": 0, "stream": True}).encode()
    start = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: "
                 + str(len(body)).encode() + b"\r\n\r\n" + body)
    status = await reader.readline()
    if b" 200 " not in status:
        raise SystemExit(f"the server on port {port} says {status!r}: {(await reader.read(2000))!r}")
    times = []
    while line := await reader.readline():
        if not line.startswith(b"data: {"):
            continue
        choices = json.loads(line[6:]).get("choices")
        if choices and choices[0]["delta"].get("content"):
            times.append(time.perf_counter())
    writer.close()
    if not times:
        return None
    return times[0] - start, (times[-1] - times[0]) / max(1, len(times) - 1)


async def without_pause(port, conversations):
    """Answers a second when SLOTS clients ask one after the other."""
    left = iter(conversations)

    async def client():
        for messages in left:
            await ask(port, messages)
    start = time.perf_counter()
    await asyncio.gather(*[client() for _ in range(SLOTS)])
    return len(conversations) / (time.perf_counter() - start)


async def arrivals(port, rate, seed):
    rng, tasks, start, at = random.Random(seed), [], time.perf_counter(), 0.0
    conversations = iter(prompts(int(rate * SECONDS * 2) + 10, seed))
    while (at := at + rng.expovariate(rate)) < SECONDS:
        await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(port, next(conversations))))
    return await asyncio.gather(*tasks)


def at(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def judged(answers):
    """goodput in answers a second, and the percentiles in milliseconds."""
    done = [a for a in answers if a]
    out = {}
    for name, (most_ttft, most_tpot) in OBJECTIVES.items():
        out[f"goodput, {name}"] = sum(1 for ttft, tpot in done if ttft <= most_ttft and tpot <= most_tpot) / SECONDS
    for i, name in enumerate(("TTFT", "TPOT")):
        for share in (0.5, 0.9, 0.99):
            out[f"{name} p{share * 100:.0f}"] = 1e3 * at([a[i] for a in done], share)
    return out


def run(bench):
    sides = [frugal] + ([llama] if bench.peers else [])
    capacity = []
    for side in sides:
        with side(bench) as server:
            asyncio.run(without_pause(server.port, prompts(SLOTS, 1)))
            capacity.append(asyncio.run(without_pause(server.port, prompts(4 * SLOTS, 2))))
    theirs = capacity[1] if bench.peers else None
    yield Row("serve", f"{SLOTS} clients without pause", "answers", "1/s", capacity[0], theirs, "llama-server", 2.0, True)
    for load in (0.5, 0.8, 0.95):
        rate = load * min(capacity)
        found = []
        for side in sides:
            with side(bench) as server:
                asyncio.run(without_pause(server.port, prompts(SLOTS, 3)))
                found.append(judged(asyncio.run(arrivals(server.port, rate, seed=int(100 * load)))))
        for metric in found[0]:
            goodput = metric.startswith("goodput")
            other = found[1][metric] if bench.peers else None
            yield Row("serve", f"{100 * load:.0f} % of the slower one, {rate:.2f}/s", metric, "1/s" if goodput else "ms", found[0][metric], other,
                      "llama-server", None, goodput)
