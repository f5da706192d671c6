"""differential_usage.py DRIVER: usages of 200 random answers, as the providers' references document them, through frugal's readers and
through genai-prices' own extractors: tokens and dollars must be equal."""
import datetime
import json
import random
import subprocess
import sys

from genai_prices import extract_usage

AT = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.timezone.utc)
MODELS = {"openai_chat": "gpt-4o", "openai_responses": "gpt-4.1-mini", "anthropic_messages": "claude-haiku-4-5"}
PROVIDER = {"openai_chat": ("openai", "chat"), "openai_responses": ("openai", "responses"), "anthropic_messages": ("anthropic", "default")}


def split(rng, total, *shares):
    """Parts of a total that together are no larger than it; each may be missing."""
    out = []
    for share in shares:
        part = rng.randrange(total + 1) if rng.random() < share else None
        total -= part or 0
        out.append(part)
    return out


def details(**parts):
    return {key: value for key, value in parts.items() if value is not None}


def openai_usage(rng, api):
    chat = api == "openai_chat"
    total, answer = rng.randrange(200_000), rng.randrange(20_000)
    cached, written = split(rng, total, 0.7, 0.0)
    reasoning = rng.randrange(answer + 1) if rng.random() < 0.5 else None
    names = ("prompt_tokens", "completion_tokens") if chat else ("input_tokens", "output_tokens")
    usage = {names[0]: total, names[1]: answer, "total_tokens": total + answer}
    if cached is not None:
        usage[names[0] + "_details"] = details(cached_tokens=cached, cache_write_tokens=written)
    if reasoning is not None:
        usage[names[1] + "_details"] = {"reasoning_tokens": reasoning}
    return usage


def anthropic_usage(rng):
    fresh, answer = rng.randrange(50_000), rng.randrange(8_000)
    read, written = (rng.randrange(100_000) if rng.random() < 0.6 else 0 for _ in range(2))
    usage = {"input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": written, "output_tokens": answer}
    if written and rng.random() < 0.6:
        hour = rng.randrange(written + 1)
        usage["cache_creation"] = {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour}
    if rng.random() < 0.3:
        usage["output_tokens_details"] = {"thinking_tokens": rng.randrange(answer + 1)}
    return usage


def events(api, usage, model):
    if api == "openai_chat":
        return [{"model": model, "choices": [{"delta": {"content": "x"}}]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]},
                {"model": model, "choices": [], "usage": usage}]
    if api == "openai_responses":
        return [{"type": "response.output_text.delta", "delta": "x"}, {"type": "response.completed", "response": {"model": model, "usage": usage}}]
    start = {**usage, "output_tokens": 1}  # the first event has the prompt's counts, the last one the answer's
    end = {key: usage[key] for key in ("output_tokens", "output_tokens_details") if key in usage}
    return [{"type": "message_start", "message": {"model": model, "usage": start}}, {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                                                                                    "usage": end}, {"type": "message_stop"}]


def main():
    rng, asked, wanted = random.Random(17), [], []
    for i in range(200):
        api = list(MODELS)[i % 3]
        usage = anthropic_usage(rng) if api == "anthropic_messages" else openai_usage(rng, api)
        asked.append({"api": api, "model": MODELS[api], "at": int(AT.timestamp()), "events": [json.dumps(e) for e in events(api, usage, MODELS[api])]})
        provider, flavor = PROVIDER[api]
        found = extract_usage({"model": MODELS[api], "usage": usage}, provider_id=provider, api_flavor=flavor)
        wanted.append((found.usage, float(found.calc_price(genai_request_timestamp=AT).total_price), usage))
    lines = subprocess.run([sys.argv[1]], input="\n".join(map(json.dumps, asked)), capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 200
    for ask, line, (theirs, dollars, raw) in zip(asked, lines, wanted):
        ours = json.loads(line)
        known = theirs.__dict__
        expected = {"input": known.get("input_tokens", 0), "cached_read": known.get("cache_read_tokens", 0),
                    "cache_write": known.get("cache_write_tokens", 0), "write_1h": known.get("cache_write_1h_tokens", 0),
                    "output": known.get("output_tokens", 0), "reasoning": known.get("output_reasoning_tokens", 0)}
        got = {key: ours[key] for key in expected}
        assert got == expected, (ask["api"], raw, got, expected)
        assert isinstance(ours["dollars"], float) and abs(ours["dollars"] - dollars) < 1e-9, (ask["api"], raw, ours, dollars)
    print("200 random usages: the same tokens and dollars as genai-prices")


main()
