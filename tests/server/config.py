"""config.py PROGRAM MODEL: the settings file of `frugal serve`: every wrong key is named with its line, and what budgets and prices say holds."""
import json
import pathlib
import subprocess
import sys
import tempfile

import openai
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
        assert 'frugal_budget_limit_dollars{' in metrics and "frugal_cost_dollars_total" in metrics, metrics[-2000:]
        s.stop()


def a_model_has_its_budget_and_its_price_file(folder):
    book = pathlib.Path(folder) / "prices.json"
    book.write_text(json.dumps({"format": "frugal-prices-1", "models": [{"id": "m", "prices": BOOK["m"]}]}))
    with with_config(folder, {"price_file": str(book), "budgets": [{"model": "m", "usd": 0.01}]}) as s:
        o = openai.OpenAI(base_url=s.url + "/v1", api_key=KEY, max_retries=0)
        over(lambda: o.chat.completions.create(**(ASK | {"max_tokens": 11})))
        over(lambda: o.chat.completions.create(**{k: v for k, v in ASK.items() if k != "max_tokens"}))  # most_output is assumed
        o.chat.completions.create(**ASK)
        s.stop()


def main():
    with tempfile.TemporaryDirectory() as folder:
        for test in (wrong_files, a_tenant_has_its_budget, a_model_has_its_budget_and_its_price_file):
            test(folder)
            print(f"{test.__name__}: passed")


main()
