"""config.py PROGRAM MODEL: the settings file of `frugal serve`: every wrong key is named with its line, and what budgets and prices say holds."""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import openai
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from serving import KEY, Serving

PROGRAM, MODEL = sys.argv[1], sys.argv[2]
ASK = dict(model="m", messages=[{"role": "user", "content": "Hello"}], temperature=0, max_tokens=8)
BOOK = {"m": {"input": 1, "output": 1000}}


def refused(folder, text, *words):
    file = pathlib.Path(folder) / "wrong.json"
    file.write_text(text if isinstance(text, str) else json.dumps(text, indent=1))
    done = subprocess.run([PROGRAM, "serve", "--listen", "127.0.0.1:0", "--quiet", "--config", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0, text
    for word in words:
        assert word in done.stderr, (word, done.stderr)


def wrong_files(folder):
    model = {"name": "m", "path": MODEL}
    refused(folder, {"models": [{"path": 3}]}, "wrong.json:4: models[0].path must be a text")
    refused(folder, '{"models": [\n {"path": "M", "pth": "x"}]}', "wrong.json:2: models[0].pth is not known here")
    refused(folder, '{\n\n"listen": "here",\n"models": []}', "wrong.json:3: listen must be address:port")
    refused(folder, '{"models": [{"name": "m"}]}', "wrong.json:1: models[0].path is missing")
    refused(folder, '[\n]', "the file must be an object")
    refused(folder, '{"models": [{"path": "M"}],\n "models": []}', "occurs twice")
    refused(folder, '{"models": [{"path": "M"}', "ends too early")
    refused(folder, {"models": [model], "drain_seconds": -1}, "drain_seconds must be a number from 0")
    refused(folder, {"remotes": [{"name": "r", "url": "http://x", "model": "y", "api": "gopher"}]}, "remotes[0].api must be openai_chat")
    refused(folder, {"remotes": [{"name": "r", "url": "http://x", "model": "y", "cache": "day"}]}, "remotes[0].cache must be auto")
    refused(folder, {"models": [model | {"embeddings": "max"}]}, "models[0].embeddings must be mean or last")
    refused(folder, {"models": [model], "prices": {"m": {"input": 1}}}, "prices.m needs input and output")
    refused(folder, {"models": [model], "prices": {"m": {"input": 1, "output": 2, "outptu": 3}}}, "prices.m.outptu is not known here")
    refused(folder, {"models": [model], "budgets": [{"tenant": "t"}]}, "budgets[0].usd is missing")
    refused(folder, {"models": [model], "budgets": [{"usd": -1}]}, "budgets[0].usd must be a number")
    refused(folder, {"models": [model], "budgets": [{"usd": 1, "model": "other"}], "prices": BOOK}, "budgets[0].model: nothing is called \"other\"")
    refused(folder, {"models": [model], "budgets": [{"usd": 1}]}, "budgets[0]: there is no price for \"m\"")
    refused(folder, {"models": [model], "price_file": "/nowhere.json"}, "/nowhere.json")
    refused(folder, {"models": [{"name": "x", "path": "/nowhere.gguf"}]}, "wrong.json:3: models[0]: ", "/nowhere.gguf")
    refused(folder, {"models": [model, model]}, "models[1]: two things are called \"m\"")
    refused(folder, {"models": [model], "cascades": [{"name": "c", "tiers": ["m", "x"], "margin": 0.5}]}, "cascades[0]: there is no tier \"x\"")
    refused(folder, {"models": [model], "keys": [{"file": "/nowhere.key"}]}, "keys[0]: ", "/nowhere.key")
    refused(folder, {"models": [model], "heads": [{"name": "h", "head": "/nowhere.safetensors", "model": "m"}]}, "heads[0]: ", "/nowhere.safetensors")
    refused(folder, {"remotes": [{"name": "r", "url": "ftp://x", "model": "y"}]}, "remotes[0]: HttpOptions: url must begin with http")


def wrong_meanings(folder):
    """Settings that can be read and mean nothing, or two things: each is named by its place."""
    model, remote = {"name": "m", "path": MODEL}, {"name": "r", "url": "http://x/v1", "model": "y"}
    key, short = pathlib.Path(folder) / "a.key", pathlib.Path(folder) / "short.key"
    key.write_text("a-key-of-a-tenant\n")
    short.write_text("short\n")
    keys = [{"file": str(key), "tenant": "a"}]
    at = "wrong.json:{}: {}"
    refused(folder, {"keys": [{"file": str(short)}], "models": [model]}, at.format(3, "keys[0]: "), "short.key: a key has at least 8 characters")
    refused(folder, {"keys": keys + [{"file": str(key), "tenant": "b"}], "models": [model]}, at.format(7, "keys[1]: "), "a.key: another key is the same")
    refused(folder, {"access_log": "/nowhere/log", "models": [model]}, at.format(2, "access_log: /nowhere/log cannot be opened"))
    refused(folder, {"price_file": "/nowhere.json", "models": [model]}, at.format(2, "price_file: "), "/nowhere.json")
    refused(folder, {"price_file": str(key), "models": [model]}, at.format(2, "price_file: "), "a.key")
    refused(folder, {"backend": "abacus", "models": [model]}, at.format(2, "backend abacus: unknown"))
    refused(folder, {"device": "cuda", "backend": "reference", "models": [model]}, at.format(2, "device cuda: only the torch backend"))
    refused(folder, {"keys": keys, "models": [model], "prices": BOOK, "budgets": [{"tenant": "other", "usd": 1}]},
            "budgets[0].tenant: no key has the tenant \"other\"")
    refused(folder, {"tenant_weights": {"a": 2}, "models": [model]}, at.format(2, "tenant_weights: no key has the tenant \"a\""))
    refused(folder, {"models": [model], "prices": BOOK, "budgets": [{"usd": 1}, {"usd": 2}]}, "budgets[1] holds for the same requests")
    cascade = {"name": "c", "tiers": ["m", "m"], "margin": 0.5}
    refused(folder, {"cascades": [cascade], "models": [model]}, at.format(5, "cascades[0].tiers names \"m\" twice"))
    refused(folder, {"speculate": ["suffix", "suffix"], "models": [model]}, at.format(2, "speculate names \"suffix\" twice"))
    refused(folder, {"caps": [{"type": "t", "tokens": 1}, {"type": "t", "tokens": 2}], "models": [model]}, at.format(8, "caps[1].type has a cap already"))
    refused(folder, {"caps": [{"tokens": 1}, {"tokens": 2}], "models": [model]}, at.format(6, "caps[1] is a second cap"))
    refused(folder, {"remotes": [remote | {"ca_file": "/nowhere.pem"}]}, at.format(3, "remotes[0]: "), "ca_file \"/nowhere.pem\" cannot be read")
    refused(folder, {"remotes": [remote | {"url": "http://x/v1/chat/completions/"}]}, at.format(3, "remotes[0]: "), "ends in /chat/completions, which is added here")
    refused(folder, {"models": [model], "stall_ms": 0}, "stall_ms must be a number from 0.1 to 60000")
    refused(folder, {"models": [model], "tenant_weights": {"a": 0}}, "tenant_weights.a must be a number from 0.000001 to 1000000")


def wrong_inside(folder):
    """Unknown keys and wrong types in every object of the settings: line and whole key."""
    model, remote = {"name": "m", "path": MODEL}, {"name": "r", "url": "http://x/v1", "model": "y"}
    cascade = {"name": "c", "tiers": ["m", "r"], "margin": 0.5}
    for key in ("models", "heads", "remotes", "cascades", "splits", "budgets", "caps", "keys"):
        whole = {"models": model, "heads": {"name": "h", "head": "H", "model": "m"}, "remotes": remote, "cascades": cascade,
                 "splits": {"name": "s", "arms": {"m": 1, "r": 1}}, "budgets": {"usd": 1}, "caps": {"tokens": 1}, "keys": {"file": "F"}}[key]
        refused(folder, {key: [{"wird": 1} | whole]}, f"wrong.json:4: {key}[0].wird is not known here")
        refused(folder, {key: {"wird": 1}}, f"wrong.json:2: {key} must be a list")
        refused(folder, {key: ["m"]}, f"wrong.json:3: {key}[0] must be an object")
        for name, value in whole.items():
            refused(folder, {key: [whole | {name: [] if isinstance(value, dict) else {}}]}, f"{key}[0].{name} must be")
    for part in ("timeouts", "retries", "hedging"):
        refused(folder, {"remotes": [{part: {"wird": 1}} | remote]}, f"wrong.json:5: remotes[0].{part}.wird is not known here")
        refused(folder, {"remotes": [{part: 3} | remote]}, f"wrong.json:4: remotes[0].{part} must be an object")
    refused(folder, {"remotes": [{"retries": {"most": "3"}} | remote]}, "wrong.json:5: remotes[0].retries.most must be a whole number from 0 to 100")
    refused(folder, {"remotes": [{"headers": {"x-a": 1}} | remote]}, "wrong.json:5: remotes[0].headers.x-a must be a text")
    refused(folder, {"prices": {"m": {"input": "1", "output": 1}}}, "wrong.json:4: prices.m.input must be a number from 0 to 1000000000")
    refused(folder, {"prices": {"m": 3}}, "wrong.json:3: prices.m must be an object")
    refused(folder, {"splits": [{"name": "s", "arms": {"m": 1, "r": "x"}}]}, "wrong.json:7: splits[0].arms.r must be a number from 0 to 1000000")
    refused(folder, {"cascades": [cascade | {"tiers": ["m", 3]}]}, "wrong.json:5: cascades[0].tiers must be a list of texts")
    refused(folder, {"wird": 1, "models": [model]}, "wrong.json:2: wird is not known here")
    for name, value in {"hosts": "x", "repeat_guard": 1, "kv_mib": 1.5, "threads": True, "listen": 3, "drain_seconds": "5", "unknown_price": "x",
                        "speculate": [1], "tenant_weights": [], "prices": []}.items():
        refused(folder, {name: value, "models": [model]}, f"wrong.json:2: {name} must")


def wrong_yaml(folder):
    file = pathlib.Path(folder) / "wrong.yaml"

    def said(text, *words):
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = subprocess.run([PROGRAM, "serve", str(file), "--listen", "127.0.0.1:0", "--quiet"], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0, text
        for word in words:
            assert word in done.stderr, (word, done.stderr)

    said("models:\n  - name: m\n    path: 3\n", "wrong.yaml:3: models[0].path must be a text")
    said("models:\n  - path: M\n\tname: m\n", "wrong.yaml:3: not valid YAML")
    said(b"listen: \xff\n", "wrong.yaml:1: not valid YAML")
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{c}: &{c} [{', '.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi"))
    said(laughs, "wrong.yaml:1: anchors (&name) are not taken")
    said("models:\n" + "  - " * 5000 + "x\n", "wrong.yaml:2: nested deeper than 200")
    said("x: y\n" * 300_000, "settings are at most 1 MiB")
    said("models: []\nmodels: []\n", "wrong.yaml:2: models occurs twice")


def with_config(folder, settings):
    file = pathlib.Path(folder) / "serve.json"
    file.write_text(json.dumps({"models": [{"name": "m", "path": MODEL, "embeddings": "mean"}]} | settings))
    return Serving(PROGRAM, folder, "--config", str(file), "--quiet")


def over(call):
    try:
        call()
    except openai.RateLimitError as error:
        assert error.code == "insufficient_quota", error
        return str(error)
    raise AssertionError("was answered")


def pool_when_quiet(s, seconds=60):
    """The pool's gauges once nothing is leased. Pages go back before an answer's end is sent, but the engine's gauges are those of its last whole step, which may end after it."""
    end = time.monotonic() + seconds
    while True:
        families = {f.name: f for f in text_string_to_metric_families(s.get("/metrics"))}
        pool = {t.labels["state"]: t.value for t in families["frugal_kv_pool_bytes"].samples}
        if pool["leased"] == 0 or time.monotonic() > end:
            return pool
        time.sleep(0.02)


def a_tenant_has_its_budget(folder):
    other = pathlib.Path(folder) / "other.key"
    other.write_text("another-key-77\n")
    settings = {"prices": BOOK, "keys": [{"file": str(other), "tenant": "small"}], "budgets": [{"tenant": "small", "usd": 0.02}, {"usd": 1, "period_hours": 1}]}
    with with_config(folder, settings) as s:
        rich, poor = (openai.OpenAI(base_url=s.url + "/v1", api_key=key, max_retries=0) for key in (KEY, "another-key-77"))
        assert poor.chat.completions.create(**ASK).usage.completion_tokens > 0  # at most 8 tokens of 0.001 dollars
        assert len(poor.embeddings.create(model="m", input="cheap: prompts cost a thousandth").data) == 1
        poor.chat.completions.create(**ASK)
        said = over(lambda: poor.chat.completions.create(**(ASK | {"max_tokens": 20})))
        assert "of $0.02 leaves no room for $0.0200" in said, said
        assert rich.chat.completions.create(**(ASK | {"max_tokens": 20}))
        metrics = s.get("/metrics")
        families = {f.name: f for f in text_string_to_metric_families(metrics)}  # a strict reader: it refuses what Prometheus would
        limits = {(s.labels["tenant"], s.labels["period"]): s.value for s in families["frugal_budget_limit_dollars"].samples}
        assert limits == {("small", "none"): 0.02, ("", "3600"): 1}, limits
        spent = {s.labels["tenant"]: s.value for s in families["frugal_budget_spent_dollars"].samples}
        assert 0 < spent["small"] <= 0.02 and spent["small"] <= spent[""] <= 1, spent
        refused = {s.labels["tenant"]: s.value for s in families["frugal_budget_refused_requests"].samples}
        assert refused["small"] == 1 and families["frugal_cost_dollars"].samples, refused
        pool = pool_when_quiet(s)
        assert pool["total"] > pool["indexed"] > 0 and pool["leased"] == 0, pool
        s.stop()


def a_model_has_its_budget_and_its_price_file(folder):
    book = pathlib.Path(folder) / "prices.json"
    book.write_text(json.dumps({"format": "frugal-prices-1", "models": [{"id": "m", "prices": BOOK["m"]}]}))
    with with_config(folder, {"price_file": str(book), "budgets": [{"model": "m", "usd": 0.01}]}) as s:
        o = openai.OpenAI(base_url=s.url + "/v1", api_key=KEY, max_retries=0)
        over(lambda: o.chat.completions.create(**(ASK | {"max_tokens": 11})))
        over(lambda: o.chat.completions.create(**{k: v for k, v in ASK.items() if k != "max_tokens"}))  # most_output is assumed
        o.chat.completions.create(**ASK)
        families = {f.name: f for f in text_string_to_metric_families(s.get("/metrics"))}
        assert [(t.labels["model"], t.value) for t in families["frugal_budget_limit_dollars"].samples] == [("m", 0.01)]
        assert 0 < families["frugal_budget_spent_dollars"].samples[0].value <= 0.01
        s.stop()


def main():
    with tempfile.TemporaryDirectory() as folder:
        for test in (wrong_files, wrong_meanings, wrong_inside, wrong_yaml, a_tenant_has_its_budget, a_model_has_its_budget_and_its_price_file):
            test(folder)
            print(f"{test.__name__}: passed")


main()
