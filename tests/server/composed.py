"""composed.py PROGRAM MODEL: one YAML file with local tiers, a fitted policy, a split, caps and a remote tier, asked by the official clients."""
import http.server
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading

import anthropic
import openai
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from serving import KEY, Serving

PROGRAM, MODEL = sys.argv[1], sys.argv[2]
CAPITAL = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
PERSON = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
          "required": ["name", "age"], "additionalProperties": False}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"], "additionalProperties": False}}}


def settings(folder, content):
    file = pathlib.Path(folder) / "serve.yaml"
    file.write_text(yaml.safe_dump(content))
    return str(file)


def metrics(s):
    return {f.name: f for f in text_string_to_metric_families(s.get("/metrics"))}


def outcomes(folder, model):
    """A made service: the small tier is right where its answer is short, by what a judge can see."""
    dice, lines = random.Random(1), []
    for i in range(1500):
        small, size = dice.random() < 0.8, dice.randrange(40, 400)
        lines.append(json.dumps({"id": str(i), "prompt": "x" * size, "attempts": [
            {"tier": "small", "model": model, "correct": small, "output": "So it is." if small else "So (it", "input_tokens": 9, "output_tokens": 4, "cost": 1e-6},
            {"tier": "large", "model": model, "correct": dice.random() < 0.95, "input_tokens": 9, "output_tokens": 4, "cost": 1e-5}]}))
    (folder / "outcomes.jsonl").write_text("\n".join(lines) + "\n")
    done = subprocess.run([PROGRAM, "cascade", "fit", str(folder / "outcomes.jsonl"), "--max-error", "0.15", "-o", str(folder / "policy.json")],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def a_whole_service(folder):
    content = {"models": [{"name": "small", "path": MODEL}, {"name": "large", "path": MODEL}],
               "cascades": [{"name": "fitted", "tiers": ["small", "large"], "policy": str(folder / "policy.json")},
                            {"name": "auto", "tiers": ["small", "large"], "margin": 0.2, "streaming": "commit"}],
               "splits": [{"name": "trial", "arms": {"small": 1, "auto": 1}}],
               "caps": [{"type": "tiny", "tokens": 3}, {"tokens": 500}],
               "keys": [{"file": str(folder / "other.key"), "tenant": "team"}], "tenant_weights": {"team": 2}, "threads": 2, "kv_mib": 64}
    (folder / "other.key").write_text("another-key-77\n")
    outcomes(folder, "other@0000000000000000")
    done = subprocess.run([PROGRAM, "serve", settings(folder, content), "--listen", "127.0.0.1:0", "--quiet"], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and "cascades[0]: this cascade policy was fitted on outcomes of tier" in done.stderr, done
    outcomes(folder, done.stderr.rsplit("asked to serve the model ", 1)[1].rsplit(" (", 1)[0])  # as the bytes that will answer are called
    with Serving(PROGRAM, folder, settings(folder, content), "--quiet") as s:
        o = openai.OpenAI(base_url=s.url + "/v1", api_key=KEY, max_retries=0, timeout=120)
        assert [m.id for m in o.models.list()] == ["small", "large", "fitted", "auto", "trial"]
        for model in ("small", "fitted", "auto", "trial"):
            answer = o.chat.completions.create(model=model, messages=CAPITAL, temperature=0, max_tokens=8)
            assert "Paris" in answer.choices[0].message.content, (model, answer)
        capped = o.chat.completions.create(model="auto", messages=CAPITAL, temperature=0, extra_headers={"x-frugal-type": "tiny"})
        assert capped.usage.completion_tokens == 3 and capped.choices[0].finish_reason == "length", capped
        assert capped.frugal == {"finish": "capped", "detail": "caps"}, capped
        through_a_cascade(o)
        assert {p.labels["state"] for p in metrics(s)["frugal_kv_pool_bytes"].samples} == {"total", "leased", "indexed"}
        s.stop()


def through_a_cascade(o):
    """Tools and schemas reach the tiers of a cascade, and calls come back as calls."""
    ask = dict(model="auto", temperature=0, max_tokens=60)
    person = o.chat.completions.create(messages=[{"role": "user", "content": "Invent a person, as JSON."}], response_format={
        "type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}, **ask).choices[0].message.content
    assert set(json.loads(person)) == {"name", "age"}, person
    call = o.chat.completions.create(messages=[{"role": "user", "content": "The weather in Paris?"}], tools=[WEATHER], tool_choice="required", **ask).choices[0]
    assert call.finish_reason == "tool_calls" and call.message.tool_calls[0].function.name == "get_weather", call
    assert set(json.loads(call.message.tool_calls[0].function.arguments)) == {"city"}


class Provider(http.server.BaseHTTPRequestHandler):
    """Anthropic's API as far as this test needs it: its cache forgets everything at once."""
    protocol_version = "HTTP/1.1"
    asked = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Provider.asked.append(body)
        usage = {"input_tokens": 20, "cache_creation_input_tokens": 6000, "cache_read_input_tokens": 0, "output_tokens": 1}
        events = [{"type": "message_start", "message": {"model": body["model"], "usage": usage}},
                  {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                  {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": '{"name": "Ada", "age": 36}'}},
                  {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
                  {"type": "message_stop"}]
        reply = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


def a_remote_tier(folder):
    provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    content = {"remotes": [{"name": "far", "api": "anthropic_messages", "url": f"http://127.0.0.1:{provider.server_port}/v1", "model": "claude-sonnet-4-5",
                            "effort": "low", "timeouts": {"total_seconds": 20}, "retries": {"most": 0}}],
               "budgets": [{"model": "far", "usd": 3, "period_hours": 1}, {"model": "far", "usd": 9, "period_hours": 24}]}
    with Serving(PROGRAM, folder, settings(folder, content), "--quiet") as s:
        a = anthropic.Anthropic(base_url=s.url, api_key=KEY, max_retries=0, timeout=60)
        system = [{"type": "text", "text": "word " * 6000, "cache_control": {"type": "ephemeral"}}]
        for _ in range(3):
            answer = a.messages.create(model="far", max_tokens=50, system=system, messages=CAPITAL, extra_headers={"x-frugal-type": "faq"},
                                       output_config={"format": {"type": "json_schema", "schema": PERSON}})
            assert json.loads(answer.content[0].text)["name"] == "Ada", answer
        asked = Provider.asked[-1]
        assert asked["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": PERSON}}, asked["output_config"]
        found = metrics(s)
        tokens = {t.labels["state"]: t.value for t in found["frugal_provider_cache_tokens"].samples}
        assert tokens["billed_read"] == 0 and tokens["expected_read"] > 0 and tokens["billed_write"] == 18000, tokens
        requests = {t.labels["state"]: t.value for t in found["frugal_provider_cache_requests"].samples}
        assert requests == {"reported": 3, "missed": 2, "ignored": 0, "too_short": 0}, requests
        assert {t.labels["type"] for t in found["frugal_provider_cache_tokens"].samples} == {"faq"}
        budgets = {t.labels["period"]: t.value for t in found["frugal_budget_limit_dollars"].samples}
        assert budgets == {"3600": 3, "86400": 9}, budgets
        assert all(t.value > 0 for t in found["frugal_budget_spent_dollars"].samples)
        assert all(t.value == 0 for t in found["frugal_budget_reserved_dollars"].samples)
        s.process.send_signal(signal.SIGHUP)  # as when its terminal is closed
        assert s.process.wait(30) == 0 and s.stop() == 0
        s.check_silence()
    provider.shutdown()


class NoApi(Provider):
    """Answers every request as a server does that is not the API, or cannot stream."""
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        reply = json.dumps({"choices": [{"message": {"content": "planted words"}}], "asked": asked}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)


def a_remote_that_does_not_stream(folder):
    """A client is told at once that it cannot mend it, and nothing of the body; as a tier it makes the answer of the tier before it stand."""
    provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoApi)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    content = {"models": [{"name": "small", "path": MODEL}], "remotes": [{"name": "far", "url": f"http://127.0.0.1:{provider.server_port}/v1", "model": "y"}],
               "cascades": [{"name": "auto", "tiers": ["small", "far"], "margin": 1}], "threads": 2}
    with Serving(PROGRAM, folder, settings(folder, content), "--quiet") as s:
        o = openai.OpenAI(base_url=s.url + "/v1", api_key=KEY, max_retries=0, timeout=120)
        a = anthropic.Anthropic(base_url=s.url, api_key=KEY, max_retries=0, timeout=120)
        try:
            o.chat.completions.create(model="far", messages=CAPITAL, extra_headers={"x-request-id": "mine-7"})
            raise AssertionError("was answered")
        except openai.APIStatusError as error:
            assert error.status_code == 502 and error.response.headers["x-should-retry"] == "false", error
            assert "retry-after" not in error.response.headers and "planted" not in error.response.text, error.response.text
        said = "answer of small, since the escalation to far failed"
        ask = dict(model="auto", messages=CAPITAL, max_tokens=8)
        answer = o.chat.completions.create(temperature=0, **ask)
        assert "Paris" in answer.choices[0].message.content and said in answer.frugal["detail"], answer
        last = [c for c in o.chat.completions.create(temperature=0, stream=True, **ask) if c.choices and c.choices[0].finish_reason][0]
        assert said in last.frugal["detail"] and "planted" not in str(last), last
        assert said in a.messages.create(**ask).frugal["detail"]
        errors = {(t.labels["status"], t.labels["code"]): t.value for t in metrics(s)["frugal_error_answers"].samples}
        assert errors == {("502", "denied"): 1}, errors
        s.stop()
        assert any("endpoint far: the request mine-7 ended as denied (status 200)" in line for line in s.said), s.said
        s.check_silence()
        assert "planted words" not in "".join(s.said) + s.log.read_text()
    provider.shutdown()


def main():
    with tempfile.TemporaryDirectory() as folder:
        for test in (a_whole_service, a_remote_tier, a_remote_that_does_not_stream):
            test(pathlib.Path(folder))
            print(f"{test.__name__}: passed")


main()
