#!/usr/bin/env python3
"""Writes price_table.inc: the prices that `genai-prices` knows, in frugal's own JSON (docs/prices.md), one model a line.

What is left out: resale lists (openrouter, huggingface), models without a price per token, and prices of what is no token (searches,
pages, seconds, images, audio). A pattern of names becomes the names it is made of, so that an unlisted model never takes its
neighbour's price.

usage: make_price_table.py DATE [price_table.inc]      (needs `pip install genai-prices`; DATE: when it was taken, 2026-11-24)
"""
import datetime
import json
import pathlib
import re
import sys
from importlib.metadata import version

from genai_prices import data, types

RESALE = re.compile(r"openrouter|huggingface_")
# Who sells models of their own: a bare name means theirs.
MAKERS = {"anthropic", "cohere", "cursor", "deepseek", "google", "meta", "minimax", "mistral", "moonshotai", "openai", "perplexity",
          "typesafe", "voyageai", "x-ai", "zhipuai"}
RATES = {
    "input_mtok": "input", "cache_read_mtok": "cached_read", "cache_write_mtok": "cache_write", "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output", "output_reasoning_mtok": "reasoning", "requests_kcount": "call",
}
TIER = {"service_tier", "speed"}
# Where genai-prices is flat and the provider publishes tiers by the length of the prompt: {id: {rate: (limit, price above it)}}.
# Anthropic, docs.anthropic.com "Pricing", long context: above 200,000 tokens of input (cached ones included) every token of the request
# costs twice the input and 1.5 times the output, and the multipliers of prompt caching apply to that.
PUBLISHED_TIERS = {
    "anthropic/claude-sonnet-4-0": {"input": (200000, 6), "cached_read": (200000, 0.6), "cache_write": (200000, 7.5),
                                    "cache_write_1h": (200000, 12), "output": (200000, 22.5)},
}


def number(price, key="input_mtok"):
    value = float(price) / (1000 if key == "requests_kcount" else 1)
    return int(value) if value == int(value) else value


def rates(price):
    out = {}
    for key, name in RATES.items():
        value = getattr(price, key)
        if isinstance(value, types.TieredPrices):
            out[name] = {"base": number(value.base), "above": {str(t.start): number(t.price) for t in value.tiers}}
        elif value is not None:
            out[name] = number(value, key)
    return out


def utc(time):
    return datetime.datetime.combine(datetime.date(2000, 1, 1), time).astimezone(datetime.timezone.utc).strftime("%H:%M")


def condition(constraint):
    if isinstance(constraint, types.StartDateConstraint):
        return {"since": constraint.start_date.isoformat()}
    if isinstance(constraint, types.TimeOfDateConstraint):
        return {"hours": [utc(constraint.start_time), utc(constraint.end_time)]}
    return {}


def prices(model):
    if isinstance(model.prices, types.ModelPrice):
        return [rates(model.prices)]
    return [condition(c.constraint) | rates(c.prices) for c in model.prices]


def with_published(model_id, found):
    """The prices with the tiers that the provider publishes; a rate that has tiers already, or another base, is an error: look again."""
    for price in found:
        for rate, (limit, above) in PUBLISHED_TIERS.get(model_id, {}).items():
            assert not isinstance(price[rate], dict), f"{model_id}: genai-prices has tiers of {rate} now"
            price[rate] = {"base": price[rate], "above": {str(limit): above}}
    return found


def variants(model):
    for variant in model.price_variants or ():
        (key, value), *more = variant.when.items()
        when = {"batch": True} if (key, value) == ("processing", "batch") else {"tier": value} if key in TIER else None
        found = rates(variant.prices)
        if when and found and not more:
            yield when | condition(variant.constraint) | found


def spelled(clause):
    """(rank, name) of every name in a pattern; rank 1 is exact, 2 a stem."""
    if isinstance(clause, types.ClauseEquals):
        yield 1, clause.equals
    elif isinstance(clause, types.ClauseStartsWith):
        yield 2, clause.starts_with.rstrip("-@:.")
    elif isinstance(clause, types.ClauseContains):
        yield 2, clause.contains.strip("-@:./")
    elif isinstance(clause, types.ClauseEndsWith):
        yield 2, clause.ends_with.lstrip("/")
    elif isinstance(clause, types.ClauseRegex):
        if m := re.fullmatch(r"\^((?:\\\.|[\w/-])+)-\\d\{(?:8\}|4\}-\\d\{2\}-\\d\{2\})\$", clause.regex):
            yield 1, m[1].replace("\\.", ".")
    elif isinstance(clause, types.ClauseOr):
        for part in clause.or_:
            yield from spelled(part)
    elif isinstance(clause, types.ClauseAnd):
        yield from spelled(clause.and_[0])


def names_of(models):
    """{model id: its names}: where two models of a provider claim a name, an id beats an alias, and an alias a stem."""
    claims = {}
    for place, model in enumerate(models):
        for rank, name in [(0, model.id), *spelled(model.match)]:
            if not re.search(r"-20\d\d$|^$", name):
                claims.setdefault(name.lower(), []).append((rank, place))
    out = [[] for _ in models]
    for name, claimed in claims.items():
        out[min(claimed)[1]].append(name)
    return out


def lines():
    for provider in data.providers:
        if RESALE.match(provider.id):
            continue
        models = [m for m in provider.models if any("input" in p or "output" in p for p in prices(m))]
        for model, names in zip(models, names_of(models)):
            key = f"{provider.id}/{model.id.lower()}"
            entry = {"id": key, "names": sorted(set(names) - {model.id.lower()}), "prices": with_published(key, prices(model))}
            entry["bare"] = provider.id in MAKERS and not (provider.id == "google" and "claude" in model.id)
            entry["variants"] = list(variants(model))
            yield json.dumps({k: v for k, v in entry.items() if v not in ([], True)}, separators=(",", ":"))


if __name__ == "__main__":
    date = datetime.date.fromisoformat(sys.argv[1]).isoformat()
    path = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else pathlib.Path(__file__).with_name("price_table.inc")
    source = f"genai-prices {version('genai-prices')}"
    head = f'{{"format":"frugal-prices-1","source":"{source}","date":"{date}","models":['
    path.write_text(f"// Generated by make_price_table.py from {source} (MIT, Copyright (c) Pydantic Services Inc. 2025 to present) on {date}; do not edit.\n"
                    f'// clang-format off\nR"json({head}\n' + ",\n".join(lines()) + '\n]})json"\n')
