// The figures of the quickstart: percentiles, the bill, the table and the JSON. Everything is computed from what each
// Finish says.
#pragma once

#include <frugal/core/finish.hpp>
#include <frugal/meter/trace.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace quickstart {

/// One answered request.
struct Served {
  std::string type{};
  std::vector<frugal::Token> tokens{};
  frugal::Finish finish{};
};

struct Run {
  std::string name, backend;
  std::vector<Served> served{};
  frugal::Duration wall{};
  std::vector<frugal::TraceRecord> trace{};  ///< in the order of ends
};

/// An example price table in US dollars per million tokens, of the shape hosted APIs use: a cached prompt token costs a
/// tenth of a computed one.
struct Prices {
  double input = 0.15, cached_input = 0.015, output = 0.60;
};
inline constexpr Prices prices{};

struct Quantiles {
  std::optional<double> p50, p99;
};

/// Nearest rank: a value that occurred. Below 100 values p99 is the largest one.
inline Quantiles quantiles(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto rank = [&](double q) {
    return values[static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size()))) - 1];
  };
  return {.p50 = rank(0.50), .p99 = rank(0.99)};
}

struct Figures {
  std::size_t requests = 0;
  Quantiles ttft_ms{}, tpot_ms{};
  std::uint64_t computed = 0, cached = 0, output = 0;
  double cost = 0;
};

/// Over all requests, or those of one type.
inline Figures figures(const Run& run, const std::string& type = "") {
  Figures f;
  std::vector<double> ttft, tpot;
  for (const Served& one : run.served) {
    if (!type.empty() && one.type != type) continue;
    const frugal::Usage& usage = one.finish.usage;
    ++f.requests;
    f.computed += usage.input - usage.cached_read;
    f.cached += usage.cached_read;
    f.output += usage.output;
    if (usage.output > 0) ttft.push_back(frugal::milliseconds(one.finish.timing.ttft));
    if (const auto t = one.finish.timing.tpot(usage.output)) tpot.push_back(frugal::milliseconds(*t));
  }
  f.ttft_ms = quantiles(std::move(ttft));
  f.tpot_ms = quantiles(std::move(tpot));
  f.cost = (static_cast<double>(f.computed) * prices.input + static_cast<double>(f.cached) * prices.cached_input +
            static_cast<double>(f.output) * prices.output) /
           1e6;
  return f;
}

inline std::vector<std::string> types(const Run& run) {
  std::vector<std::string> names;
  for (const Served& one : run.served)
    if (std::find(names.begin(), names.end(), one.type) == names.end()) names.push_back(one.type);
  return names;
}

/// Where the second run answered something else than the first, apart from the end that a cap cut off; none = nowhere.
inline std::optional<std::string> first_difference(const Run& plain, const Run& levered) {
  for (std::size_t i = 0; i < plain.served.size(); ++i) {
    const auto &whole = plain.served[i].tokens, &part = levered.served[i].tokens;
    const auto [here, there] = std::mismatch(part.begin(), part.end(), whole.begin(), whole.end());
    const bool capped = levered.served[i].finish.reason == frugal::FinishReason::capped;
    if (here != part.end() || (there != whole.end() && !capped))
      return "request " + std::to_string(i) + " (" + plain.served[i].type + ") from token " +
             std::to_string(here - part.begin());
  }
  return std::nullopt;
}

template <class... Values>
std::string format(const char* pattern, Values... values) {
  std::array<char, 512> text;
  std::snprintf(text.data(), text.size(), pattern, values...);
  return text.data();
}

inline std::string row(const char* label, std::optional<double> plain, std::optional<double> levered,
                       const char* pattern) {
  const auto cell = [&](std::optional<double> v) { return v ? format(pattern, *v) : std::string("-"); };
  const bool comparable = plain && levered && *plain > 0;
  const std::string change = comparable ? format("%+.1f %%", (*levered / *plain - 1.0) * 100.0) : "";
  return format("  %-26s %14s %14s %12s\n", label, cell(plain).c_str(), cell(levered).c_str(), change.c_str());
}

inline std::string rows(const std::string& title, const Figures& a, const Figures& b) {
  const auto count = [](std::uint64_t n) { return static_cast<double>(n); };
  return format("%s (n = %zu)\n", title.c_str(), a.requests) +
         row("TTFT p50, ms", a.ttft_ms.p50, b.ttft_ms.p50, "%.1f") +
         row("TTFT p99, ms", a.ttft_ms.p99, b.ttft_ms.p99, "%.1f") +
         row("TPOT p50, ms", a.tpot_ms.p50, b.tpot_ms.p50, "%.1f") +
         row("TPOT p99, ms", a.tpot_ms.p99, b.tpot_ms.p99, "%.1f") +
         row("prompt tokens computed", count(a.computed), count(b.computed), "%.0f") +
         row("prompt tokens reused", count(a.cached), count(b.cached), "%.0f") +
         row("output tokens", count(a.output), count(b.output), "%.0f") +
         row("cost, US dollars", a.cost, b.cost, "%.6f");
}

inline std::string table(const Run& plain, const Run& levered) {
  std::string text =
      format("\n  %-26s %14s %14s %12s\n", ("backend " + plain.backend).c_str(), "plain", "frugal", "change");
  text += rows("all", figures(plain), figures(levered));
  for (const std::string& type : types(plain)) text += rows(type, figures(plain, type), figures(levered, type));
  const auto seconds = [](const Run& r) { return frugal::milliseconds(r.wall) / 1000.0; };
  text += row("whole run, s", seconds(plain), seconds(levered), "%.1f");
  text += format(
      "\nTTFT = time to the first token, waiting included; TPOT = time per token after it. With so few requests p99 is "
      "the\n"
      "slowest one. Cost at an example price table, US dollars per million tokens: prompt %.3f, reused prompt %.3f, "
      "answer %.2f.\n",
      prices.input, prices.cached_input, prices.output);
  return text;
}

inline std::string json(const Quantiles& q) {
  const auto value = [](std::optional<double> v) { return v ? format("%.4f", *v) : std::string("null"); };
  return "{\"p50\": " + value(q.p50) + ", \"p99\": " + value(q.p99) + "}";
}

inline std::string json(const Figures& f) {
  return format("\"requests\": %zu, ", f.requests) + "\"ttft_ms\": " + json(f.ttft_ms) +
         ", \"tpot_ms\": " + json(f.tpot_ms) +
         format(", \"prompt_tokens\": {\"computed\": %llu, \"cached\": %llu}, \"output_tokens\": %llu, \"cost\": %.9f",
                static_cast<unsigned long long>(f.computed), static_cast<unsigned long long>(f.cached),
                static_cast<unsigned long long>(f.output), f.cost);
}

inline std::string json(const Run& run) {
  std::string by_type;
  for (const std::string& type : types(run))
    by_type += (by_type.empty() ? "\n      \"" : ",\n      \"") + type + "\": {" + json(figures(run, type)) + "}";
  return "\n    {\"name\": \"" + run.name + "\", \"backend\": \"" + run.backend +
         "\", \"wall_ms\": " + format("%.1f", frugal::milliseconds(run.wall)) + ", " + json(figures(run)) +
         ",\n     \"by_type\": {" + by_type + "}}";
}

inline std::string as_json(const Run& plain, const Run& levered, bool same_tokens) {
  return "{\"runs\": [" + json(plain) + "," + json(levered) + "],\n \"prices_usd_per_million\": " +
         format("{\"input\": %.3f, \"cached_input\": %.3f, \"output\": %.3f},\n", prices.input, prices.cached_input,
                prices.output) +
         " \"same_tokens\": " + (same_tokens ? "true" : "false") + "}\n";
}

}  // namespace quickstart
