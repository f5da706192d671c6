#include "meter/trace_line.hpp"

#include "meter/json_cursor.hpp"

#include <frugal/core/ledger_fields.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <unordered_map>
#include <utility>

namespace frugal::meter {

namespace {

constexpr std::uint32_t mooncake_block_tokens = 512;

/// The columns of a vLLM result file; seconds.
struct Columns {
  std::vector<std::uint64_t> input{}, output{};
  std::vector<double> ttft{}, decode{}, start{};
  std::vector<bool> failed{};
  std::string model{};
  std::size_t at = 0;  ///< where the first column stands
};

struct Line {
  JsonCursor cursor;
  TraceRecord& record;
  bool has_prompt = false, has_output = false, is_mooncake = false;
  std::optional<Columns> columns{};

  Columns& column() {
    if (!columns) columns.emplace().at = cursor.at();
    return *columns;
  }
};

double positive(JsonCursor& c) {
  const double value = c.number();
  if (value < 0) c.fail("a time below zero");
  return value;
}

FinishReason finish_reason(JsonCursor& c) {
  const std::string_view name = c.string();
  for (int i = 0; i <= static_cast<int>(FinishReason::error); ++i)
    if (to_string(static_cast<FinishReason>(i)) == name) return static_cast<FinishReason>(i);
  c.fail("finish '" + std::string(name) + "' is none of stop, length, capped, cancelled, deadline, refused, error");
}

Duration read_milliseconds(JsonCursor& c) {
  const double ms = c.number();
  constexpr double most = 3e12;  // a century
  if (!(std::abs(ms) < most)) c.fail("a time of more than a century");
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms));
}

void read_value(JsonCursor& c, std::uint64_t& out) { out = c.unsigned_integer(); }
void read_value(JsonCursor& c, Duration& out) { out = read_milliseconds(c); }
void read_value(JsonCursor& c, std::vector<std::uint64_t>& out) {
  for (c.begin_array(); c.next_item();) out.push_back(c.unsigned_integer());
}

/// The fields of one ledger; others are skipped.
template <class L>
void read_ledger(JsonCursor& c, L& ledger) {
  std::string_view key;
  for (c.begin_object(); c.next_key(key);) {
    bool found = false;
    for_each_field<L>([&](const LedgerField& field, auto member) {
      if (found || field.name != key) return;
      found = true;
      read_value(c, ledger.*member);
    });
    if (!found) c.skip();
  }
}

TraceAttempt read_attempt(JsonCursor& c) {
  TraceAttempt attempt;
  std::string_view key;
  for (c.begin_object(); c.next_key(key);) {
    if (c.take_null()) continue;
    if (key == "endpoint")
      attempt.endpoint = c.string();
    else if (key == "model")
      attempt.model = c.string();
    else if (key == "usage")
      read_ledger(c, attempt.usage);
    else if (key == "tokens")
      read_ledger(c, attempt.tokens.emplace());
    else if (key == "drafts")
      read_ledger(c, attempt.drafts);
    else if (key == "score")
      attempt.score = c.number();
    else if (key == "accepted")
      attempt.accepted = c.boolean();
    else
      c.skip();
  }
  return attempt;
}

void read_hashes(JsonCursor& c, std::vector<std::uint64_t>& out) {
  for (c.begin_array(); c.next_item();) out.push_back(c.hash());
}

template <class T>
void read_column(JsonCursor& c, std::vector<T>& out, T (*item)(JsonCursor&)) {
  for (c.begin_array(); c.next_item();) out.push_back(item(c));
}

double seconds_or_none(JsonCursor& c) { return c.take_null() ? std::nan("") : positive(c); }

/// The gaps between one answer's tokens, summed.
double decode_seconds(JsonCursor& c) {
  double sum = 0;
  for (c.begin_array(); c.next_item();) sum += positive(c);
  return sum;
}

using Field = void (*)(Line&);

const std::unordered_map<std::string_view, Field>& fields() {
  static const std::unordered_map<std::string_view, Field> table{
      {"timestamp", [](Line& l) { l.record.timestamp = l.cursor.number(); }},
      {"id", [](Line& l) { l.record.id = l.cursor.string(); }},
      {"type", [](Line& l) { l.record.type = l.cursor.string(); }},
      {"tenant", [](Line& l) { l.record.tenant = l.cursor.string(); }},
      {"model", [](Line& l) { l.record.model = l.cursor.string(); }},
      {"model_id", [](Line& l) { l.record.model = l.cursor.string(); }},
      {"endpoint", [](Line& l) { l.record.endpoint = l.cursor.string(); }},
      {"prompt_tokens", [](Line& l) { l.record.prompt_tokens = l.cursor.unsigned_integer(), l.has_prompt = true; }},
      {"output_tokens", [](Line& l) { l.record.output_tokens = l.cursor.unsigned_integer(), l.has_output = true; }},
      {"cached_tokens", [](Line& l) { l.record.cached_tokens = l.cursor.unsigned_integer(); }},
      {"queue_ms", [](Line& l) { l.record.queue_ms = positive(l.cursor); }},
      {"ttft_ms", [](Line& l) { l.record.ttft_ms = positive(l.cursor); }},
      {"e2e_ms", [](Line& l) { l.record.e2e_ms = positive(l.cursor); }},
      {"stalled_ms", [](Line& l) { l.record.stalled_ms = positive(l.cursor); }},
      {"finish", [](Line& l) { l.record.finish = finish_reason(l.cursor); }},
      {"max_tokens", [](Line& l) { l.record.max_tokens = l.cursor.unsigned_integer(); }},
      {"prefix_blocks", [](Line& l) { read_hashes(l.cursor, l.record.prefix_blocks); }},
      {"prompt_hash", [](Line& l) { l.record.prompt_hash = l.cursor.hash(); }},
      {"answer_hash", [](Line& l) { l.record.answer_hash = l.cursor.hash(); }},
      {"attempts",
       [](Line& l) {
         for (l.cursor.begin_array(); l.cursor.next_item();) l.record.attempts.push_back(read_attempt(l.cursor));
       }},
      {"input_length",
       [](Line& l) { l.record.prompt_tokens = l.cursor.unsigned_integer(), l.has_prompt = l.is_mooncake = true; }},
      {"output_length", [](Line& l) { l.record.output_tokens = l.cursor.unsigned_integer(), l.has_output = true; }},
      {"hash_ids", [](Line& l) { read_hashes(l.cursor, l.record.prefix_blocks), l.is_mooncake = true; }},
      {"input_lens",
       [](Line& l) {
         read_column<std::uint64_t>(l.cursor, l.column().input, [](JsonCursor& c) { return c.unsigned_integer(); });
       }},
      {"output_lens",
       [](Line& l) {
         read_column<std::uint64_t>(l.cursor, l.column().output, [](JsonCursor& c) { return c.unsigned_integer(); });
       }},
      {"ttfts", [](Line& l) { read_column<double>(l.cursor, l.column().ttft, seconds_or_none); }},
      {"itls", [](Line& l) { read_column<double>(l.cursor, l.column().decode, decode_seconds); }},
      {"start_times", [](Line& l) { read_column<double>(l.cursor, l.column().start, seconds_or_none); }},
      {"errors",
       [](Line& l) {
         for (l.cursor.begin_array(); l.cursor.next_item();)
           l.column().failed.push_back(!l.cursor.take_null() && !l.cursor.string().empty());
       }},
  };
  return table;
}

/// The same value for equal prompts: all blocks, the partial last one too, and the length.
std::uint64_t whole_prompt(const TraceRecord& r) {
  std::uint64_t hash = r.prefix_blocks.back() ^ (r.prompt_tokens * 0x9E3779B97F4A7C15U);
  hash = (hash ^ (hash >> 31)) * 0xBF58476D1CE4E5B9U;
  return hash ^ (hash >> 29);
}

void finish_mooncake(Line& line) {
  TraceRecord& r = line.record;
  r.block_tokens = mooncake_block_tokens;
  if (r.timestamp) *r.timestamp /= 1000;
  if (r.prefix_blocks.size() == (r.prompt_tokens + r.block_tokens - 1) / r.block_tokens && !r.prefix_blocks.empty())
    r.prompt_hash = whole_prompt(r);
}

void check(Line& line) {
  TraceRecord& r = line.record;
  JsonCursor& c = line.cursor;
  if (!line.has_prompt || !line.has_output)
    c.fail(std::string("the request has no ") + (line.has_prompt ? "output_tokens" : "prompt_tokens"));
  if (r.cached_tokens && *r.cached_tokens > r.prompt_tokens)
    c.fail("cached_tokens is " + std::to_string(*r.cached_tokens) + " of " + std::to_string(r.prompt_tokens) +
           " prompt_tokens: the prompt must include what was cached");
  constexpr double rounding_ms = 1.0;
  if (r.ttft_ms && r.e2e_ms && *r.ttft_ms > *r.e2e_ms + rounding_ms) c.fail("ttft_ms is above e2e_ms");
  if (r.stalled_ms && r.e2e_ms && *r.stalled_ms > *r.e2e_ms + rounding_ms) c.fail("stalled_ms is above e2e_ms");
  constexpr double latest = 1e11;  // seconds: the year 5138
  if (r.timestamp && std::abs(*r.timestamp) >= latest)
    c.fail("timestamp is beyond the year 5000: it counts seconds, not milli- or nanoseconds");
  const std::uint64_t whole = r.prompt_tokens / r.block_tokens;
  if (r.prefix_blocks.size() > whole + 1)
    c.fail(std::to_string(r.prefix_blocks.size()) + " blocks of " + std::to_string(r.block_tokens) + " tokens for " +
           std::to_string(r.prompt_tokens) + " prompt tokens");
  if (r.prefix_blocks.size() > whole) r.prefix_blocks.resize(whole);  // a partial block can be in no cache
}

void expand(Line& line, std::vector<TraceRecord>& out) {
  const Columns& columns = *line.columns;
  const std::size_t n = columns.input.size();
  const auto fits = [&](std::size_t size) { return size == 0 || size == n; };
  if (n == 0 || columns.output.size() != n || !fits(columns.ttft.size()) || !fits(columns.decode.size()) ||
      !fits(columns.start.size()) || !fits(columns.failed.size()))
    line.cursor.fail("a vLLM result whose columns are not equally long: input_lens " + std::to_string(n) +
                     ", output_lens " + std::to_string(columns.output.size()) + ", ttfts " +
                     std::to_string(columns.ttft.size()) + ", itls " + std::to_string(columns.decode.size()));
  const TraceRecord common = line.record;
  out.assign(n, common);
  for (std::size_t i = 0; i < n; ++i) {
    TraceRecord& r = out[i];
    r.prompt_tokens = columns.input[i], r.output_tokens = columns.output[i];
    if (!columns.start.empty() && !std::isnan(columns.start[i])) r.timestamp = columns.start[i];
    if (!columns.failed.empty() && columns.failed[i]) r.finish = FinishReason::error;
    if (columns.ttft.empty() || std::isnan(columns.ttft[i]) || r.finish) continue;
    r.ttft_ms = columns.ttft[i] * 1000;
    if (!columns.decode.empty()) r.e2e_ms = *r.ttft_ms + columns.decode[i] * 1000;
  }
}

void clear(TraceRecord& r) {
  std::vector<std::uint64_t> blocks = std::move(r.prefix_blocks);  // the one member worth keeping allocated
  blocks.clear();
  r = TraceRecord{};
  r.prefix_blocks = std::move(blocks);
}

}  // namespace

void read_trace_line(std::string_view text, std::vector<TraceRecord>& out) {
  out.resize(1);
  clear(out[0]);
  Line line{JsonCursor(text), out[0]};
  std::string_view key;
  for (line.cursor.begin_object(); line.cursor.next_key(key);) {
    const auto field = fields().find(key);
    if (field == fields().end())
      line.cursor.skip();
    else if (!line.cursor.take_null())
      field->second(line);
  }
  line.cursor.end();
  if (line.columns) return expand(line, out);
  if (line.is_mooncake) finish_mooncake(line);
  check(line);
}

}  // namespace frugal::meter
