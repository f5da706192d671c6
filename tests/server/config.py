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
        return
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
        over(lambda: poor.chat.completions.create(**(ASK | {"max_tokens": 20})))
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
        for test in (wrong_files, wrong_yaml, a_tenant_has_its_budget, a_model_has_its_budget_and_its_price_file):
            test(folder)
            print(f"{test.__name__}: passed")


main()
