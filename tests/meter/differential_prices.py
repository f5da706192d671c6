"""differential_prices.py --driver PRICE_DRIVER: frugal's bills against those of genai-prices.

500 random usages over 20 well-known models (the acceptance test), then every model of the built-in table, on random days and
hours, in random tiers and batches. Where both price a call they must agree to 1e-9. Where they differ by design the case is
counted under its reason, and any other difference fails:
  - frugal has no price where genai-prices falls back to the standard one: a tier or batch that is not listed for that day;
  - frugal has no price where genai-prices takes nothing: tokens of a kind the model has no price for;
  - frugal has tiers that the provider publishes and genai-prices lacks (PUBLISHED_TIERS of make_price_table.py): then it asks for more.
"""
import argparse
import collections
import datetime
import json
import random
import pathlib
import subprocess
import sys

from genai_prices import Usage, data, types
from genai_prices.data_snapshot import get_snapshot

TWENTY = """anthropic/claude-haiku-5-5 anthropic/claude-sonnet-5-5 anthropic/claude-opus-5-5 anthropic/claude-haiku-4-5 anthropic/claude-fable-5-2
openai/gpt-6-luna openai/gpt-6-sol openai/gpt-6.1-terra openai/gpt-4o openai/gpt-4.1-mini openai/o3 openai/gpt-5 google/gemini-3.8-flash
google/gemini-2.5-pro google/gemini-2.5-flash deepseek/deepseek-v4-pro deepseek/deepseek-chat mistral/mistral-large-latest x-ai/grok-4.7
groq/openai/gpt-oss-120b""".split()
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "src" / "meter"))
from make_price_table import PUBLISHED_TIERS  # noqa: E402

BY_ID = {f"{p.id}/{m.id}": m for p in data.providers for m in p.models}
FROM, TO = (datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc).timestamp(), datetime.datetime(2027, 3, 1, tzinfo=datetime.timezone.utc).timestamp())
TIERS = ["", "", "", "default", "flex", "priority", "fast"]


def ask(rng, model):
    scale = rng.choice([10, 1_000, 150_000, 600_000])
    total = rng.randrange(scale)
    cached = rng.randrange(total + 1) if rng.random() < 0.7 else 0
    written = rng.randrange(total - cached + 1) if rng.random() < 0.5 else 0
    output = rng.randrange(rng.choice([1, 100, 20_000]))
    return {
        "model": model, "at": int(rng.uniform(FROM, TO)), "tier": rng.choice(TIERS), "batch": rng.random() < 0.25,
        "cache_write_1h": rng.randrange(written + 1) if rng.random() < 0.5 else 0,
        "usage": {"input": total, "cached_read": cached, "cache_write": written, "output": output,
                  "reasoning": rng.randrange(output + 1) if rng.random() < 0.5 else 0},
    }


def context(model, call):
    """The request context by which genai-prices picks a variant; None where no variant of this kind is in force."""
    at = datetime.datetime.fromtimestamp(call["at"], datetime.timezone.utc)
    found = {}
    wanted = ([{"processing": "batch"}] if call["batch"] else []) + (
        [] if call["tier"] in ("", "default") else [{"service_tier": call["tier"]}, {"speed": call["tier"]}])
    for variant in model.price_variants or ():
        if variant.when in wanted and (variant.constraint is None or variant.constraint.active(at)) and vars(variant.prices):
            found |= variant.when
    complete = (not call["batch"] or "processing" in found) and (call["tier"] in ("", "default") or {"service_tier", "speed"} & set(found))
    return found if complete else None


def theirs(call):
    """(dollars, None), or (None, why not)."""
    provider_id, name = call["model"].split("/", 1)
    model = BY_ID.get(call["model"]) or get_snapshot().find_provider_model(name, None, provider_id, None)[1]
    when = context(model, call)
    if when is None:
        return None, "tier or batch not listed for that day"
    u = call["usage"]
    price = model.get_prices(datetime.datetime.fromtimestamp(call["at"], datetime.timezone.utc), when)
    if (u["output"] and price.output_mtok is None) or (u["input"] > u["cached_read"] + u["cache_write"] and price.input_mtok is None):
        return None, "tokens of a kind without a price"
    usage = Usage(input_tokens=u["input"], cache_read_tokens=u["cached_read"], cache_write_tokens=u["cache_write"], output_tokens=u["output"],
                  output_reasoning_tokens=u["reasoning"], cache_write_1h_tokens=call["cache_write_1h"])
    bill = types.ModelPrice.calc_price(price, usage)
    return {k: float(bill[f"{k}_price"]) for k in ("input", "output", "total")}, None


def differs(mine, other):
    return any(abs(mine[k] - other[k]) > 1e-9 * max(other[k], 1e-9) for k in other)


def compare(driver, calls):
    out = subprocess.run([driver], input="\n".join(map(json.dumps, calls)), capture_output=True, text=True, check=True).stdout
    tally, failures = collections.Counter(), []
    for call, line in zip(calls, map(json.loads, out.splitlines()), strict=True):
        other, why = theirs(call)
        tiers = PUBLISHED_TIERS.get(call["model"].lower())
        if other and tiers and call["usage"]["input"] > tiers["input"][0]:
            why = "tiers that only the provider publishes"
            if "error" in line or line["total"] <= other["total"]:
                failures.append((call, line, other, why))
            tally[why] += 1
            continue
        if (other is None) != ("error" in line) or (other is not None and differs(line, other)):
            failures.append((call, line, other, why))
        tally[why or "equal"] += 1
    return tally, failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    # In the first 500 no tier and no batch: both sides support all of them.
    plain = [ask(rng, model) | {"tier": "", "batch": False} for model in TWENTY for _ in range(25)]
    known = [f"{p.id}/{m.id}" for p in data.providers if not p.id.startswith(("openrouter", "huggingface_")) for m in p.models]
    listed = [m for m, line in zip(known, subprocess.run([options.driver], input="\n".join(
        json.dumps(ask(rng, m) | {"tier": "", "batch": False, "cache_write_1h": 0, "usage": dict.fromkeys(
            ["input", "cached_read", "cache_write", "output", "reasoning"], 0)}) for m in known),
        capture_output=True, text=True, check=True).stdout.splitlines(), strict=True) if "error" not in line]
    failed = False
    for name, calls in [("500 usages, 20 models", plain), ("with tiers and batches", [ask(rng, m) for m in TWENTY for _ in range(100)]),
                        (f"all {len(listed)} models", [ask(rng, m) for m in listed for _ in range(10)])]:
        tally, failures = compare(options.driver, calls)
        print(f"{name}: {dict(tally)}, {len(failures)} unexplained")
        for failure in failures[:5]:
            print("  ", *failure, sep="\n     ")
        failed |= bool(failures)
    sys.exit(failed)
