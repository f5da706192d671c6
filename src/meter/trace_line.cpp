#include "meter/trace_line.hpp"

#include "core/printable.hpp"
#include "meter/json_cursor.hpp"
#include "meter/reported_usage.hpp"
#include "meter/unix_time.hpp"

#include <frugal/core/ledger_fields.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <unordered_map>
#include <utility>

namespace frugal::meter {

namespace {

constexpr std::uint32_t mooncake_block_tokens = 512;
constexpr double most_ms = 3.2e12;  // a century

struct Line {
  JsonCursor cursor;
  TraceRecord& record;
  VllmColumns columns{};
  ReportedUsage usage{};
  bool is_mooncake = false;
  bool has_seconds = false;  ///< its time is known to be in seconds
};

double positive(JsonCursor& c) {
  const double value = c.number();
  if (value < 0) c.fail("a time below zero");
  return value;
}

std::string name_of(JsonCursor& c) {
  const std::string_view text = c.string();
  if (text.size() > longest_name)
    c.fail("a name of " + std::to_string(text.size()) + " bytes (the limit is " + std::to_string(longest_name) + ")");
  return std::string(text);
}

FinishReason finish_reason(JsonCursor& c) {
  const std::string_view name = c.string();
  for (int i = 0; i <= static_cast<int>(FinishReason::error); ++i)
    if (to_string(static_cast<FinishReason>(i)) == name) return static_cast<FinishReason>(i);
  c.fail("finish '" + printable(name.substr(0, 40)) +
         "' is none of stop, length, capped, cancelled, deadline, refused, error");
}

Duration read_milliseconds(JsonCursor& c) {
  const double ms = c.number();
  if (!(std::abs(ms) < most_ms)) c.fail("a time of more than a century");
  return std::chrono::round<Duration>(std::chrono::duration<double, std::milli>(ms));
}

void read_value(JsonCursor& c, std::uint64_t& out) { out = read_count(c); }
void read_value(JsonCursor& c, Duration& out) { out = read_milliseconds(c); }
void read_value(JsonCursor& c, std::vector<std::uint64_t>& out) {
  constexpr std::size_t longest_chain = 65536;
  for (c.begin_array(); c.next_item();) {
    if (out.size() == longest_chain) c.fail("a chain of more than 65536 drafts");
    out.push_back(read_count(c));
  }
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
      attempt.endpoint = name_of(c);
    else if (key == "model")
      attempt.model = name_of(c);
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

void read_attempts(Line& l) {
  for (l.cursor.begin_array(); l.cursor.next_item();) {
    if (l.record.attempts.size() == most_attempts) l.cursor.fail("more than 1024 attempts");
    l.record.attempts.push_back(read_attempt(l.cursor));
  }
}

/// Values of other kinds than texts are skipped.
void read_labels(Line& l) {
  std::string_view key;
  for (l.cursor.begin_object(); l.cursor.next_key(key);) {
    if (l.cursor.peek() != '"') {
      l.cursor.skip();
      continue;
    }
    if (l.record.labels.size() == most_labels) l.cursor.fail("more than 64 labels");
    if (key.size() > longest_name) l.cursor.fail("a label's name of " + std::to_string(key.size()) + " bytes");
    std::string name(key);
    l.record.labels.emplace_back(std::move(name), name_of(l.cursor));
  }
}

void read_hashes(JsonCursor& c, std::vector<std::uint64_t>& out) {
  for (c.begin_array(); c.next_item();) out.push_back(c.hash());
}

/// Ours counts before other programs' names for it.
void read_time(Line& l, bool own) {
  const bool is_text = l.cursor.peek() == '"';
  const std::size_t at = l.cursor.at();
  std::optional<double> time;
  bool converted = true;
  if (!is_text) {
    const double number = l.cursor.number();
    time = unix_time(number);
    converted = *time != number;
  } else {
    const std::string_view text = l.cursor.string();
    time = unix_time(text);
    if (!time) throw JsonFault{at, "\"" + printable(text.substr(0, 40)) + "\" is no date and time of ISO 8601"};
  }
  if (!own && l.record.timestamp) return;
  l.record.timestamp = time;
  l.has_seconds = converted;
}

void read_other_time(Line& l) { read_time(l, false); }

using Field = void (*)(Line&);

const std::unordered_map<std::string_view, Field>& fields() {
  static const std::unordered_map<std::string_view, Field> table{
      {"timestamp", [](Line& l) { read_time(l, true); }},
      {"created", read_other_time},
      {"created_at", read_other_time},
      {"start_time", read_other_time},
      {"startTime", read_other_time},
      {"id", [](Line& l) { l.record.id = name_of(l.cursor); }},
      {"request_id", [](Line& l) { l.record.request_id = l.cursor.unsigned_integer(); }},
      {"type", [](Line& l) { l.record.type = name_of(l.cursor); }},
      {"tenant", [](Line& l) { l.record.tenant = name_of(l.cursor); }},
      {"model", [](Line& l) { l.record.model = name_of(l.cursor); }},
      {"model_id", [](Line& l) { l.record.model = name_of(l.cursor); }},
      {"endpoint", [](Line& l) { l.record.endpoint = name_of(l.cursor); }},
      {"labels", read_labels},
      {"batch", [](Line& l) { l.record.batch = l.cursor.boolean(); }},
      {"queue_ms", [](Line& l) { l.record.queue_ms = positive(l.cursor); }},
      {"ttft_ms", [](Line& l) { l.record.ttft_ms = positive(l.cursor); }},
      {"e2e_ms", [](Line& l) { l.record.e2e_ms = positive(l.cursor); }},
      {"stalled_ms", [](Line& l) { l.record.stalled_ms = positive(l.cursor); }},
      {"pieces", [](Line& l) { l.record.pieces = read_count(l.cursor); }},
      {"finish", [](Line& l) { l.record.finish = finish_reason(l.cursor); }},
      {"max_tokens", [](Line& l) { l.record.max_tokens = l.cursor.unsigned_integer(); }},
      {"prefix_blocks", [](Line& l) { read_hashes(l.cursor, l.record.prefix_blocks); }},
      {"prompt_hash", [](Line& l) { l.record.prompt_hash = l.cursor.hash(); }},
      {"answer_hash", [](Line& l) { l.record.answer_hash = l.cursor.hash(); }},
      {"attempts", read_attempts},
      {"input_length",
       [](Line& l) {
         l.usage.prompt = read_count(l.cursor);
         l.is_mooncake = true;
       }},
      {"output_length", [](Line& l) { l.usage.output = read_count(l.cursor); }},
      {"hash_ids",
       [](Line& l) {
         read_hashes(l.cursor, l.record.prefix_blocks);
         l.is_mooncake = true;
       }},
  };
  return table;
}

void read_field(Line& line, std::string_view key) {
  const auto field = fields().find(key);
  if (field != fields().end()) {
    if (key == "request_id" && line.cursor.peek() == '"')  // another program's; ours is a number
      line.cursor.skip();
    else if (!line.cursor.take_null())
      field->second(line);
  } else if (!line.usage.read(key, line.cursor) && !line.columns.read(key, line.cursor)) {
    line.usage.pass_over(key, line.cursor);
  }
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
  if (r.timestamp && !line.has_seconds) *r.timestamp /= 1000;
  if (r.prefix_blocks.size() == (r.prompt_tokens + r.block_tokens - 1) / r.block_tokens && !r.prefix_blocks.empty())
    r.prompt_hash = whole_prompt(r);
}

void finish_counts(Line& line) {
  const ReportedUsage& u = line.usage;
  TraceRecord& r = line.record;
  if (!u.prompt || !u.output)
    line.cursor.fail(std::string("the request has no ") + (u.prompt ? "output_tokens" : "prompt_tokens"));
  r.prompt_tokens = u.whole_prompt();
  r.output_tokens = u.whole_output();
  r.cached_tokens = u.cached_read;
  r.cache_write_tokens = u.whole_cache_write();
  r.cache_write_1h_tokens = u.cache_write_1h;
  r.reasoning_tokens = u.reasoning;
  r.service_tier = u.service_tier == "batch" ? "" : u.service_tier.substr(0, longest_name);
  r.batch = r.batch || u.service_tier == "batch";
}

void clear(TraceRecord& r) {
  std::vector<std::uint64_t> blocks = std::move(r.prefix_blocks);  // the one member worth keeping allocated
  blocks.clear();
  r = TraceRecord{};
  r.prefix_blocks = std::move(blocks);
}

std::string fault_of_usage(const Usage& u, const char* whose) {
  if (u.cached_read > u.input)
    return std::string(whose) + "cached_tokens is " + std::to_string(u.cached_read) + " of " + std::to_string(u.input) +
           " prompt_tokens: the prompt must include what was cached";
  if (u.cache_write > u.input - u.cached_read)
    return std::string(whose) + "cache_write_tokens is " + std::to_string(u.cache_write) +
           ", more than the prompt tokens that were not cached";
  if (u.cache_write_1h > u.cache_write) return std::string(whose) + "cache_write_1h_tokens is above cache_write_tokens";
  if (u.reasoning > u.output) return std::string(whose) + "reasoning_tokens is above output_tokens";
  return {};
}

std::string fault_of_attempt(const TraceAttempt& a) {
  if (std::string fault = fault_of_usage(a.usage, "an attempt's "); !fault.empty()) return fault;
  const DraftLedger& d = a.drafts;
  if (d.accepted > d.verified || d.verified > d.drafted)
    return "an attempt accepted " + std::to_string(d.accepted) + " of " + std::to_string(d.verified) +
           " verified and " + std::to_string(d.drafted) + " drafted tokens";
  return {};
}

std::string fault_of_times(const TraceRecord& r) {
  constexpr double rounding_ms = 1.0;
  constexpr double latest = 1e11;  // seconds: the year 5138
  for (const auto& [name, time] : {std::pair("queue_ms", &r.queue_ms), std::pair("ttft_ms", &r.ttft_ms),
                                   std::pair("e2e_ms", &r.e2e_ms), std::pair("stalled_ms", &r.stalled_ms)}) {
    if (*time && !(**time <= most_ms)) return std::string(name) + " is more than a century";
    if (*time && time != &r.e2e_ms && r.e2e_ms && **time > *r.e2e_ms + rounding_ms)
      return std::string(name) + " is above e2e_ms";
  }
  if (r.timestamp && !(std::abs(*r.timestamp) < latest)) return "timestamp is beyond the year 5000";
  return {};
}

std::string fault_of_blocks(const TraceRecord& r) {
  if (r.prefix_blocks.size() <= r.prompt_tokens / r.block_tokens + 1) return {};
  return std::to_string(r.prefix_blocks.size()) + " blocks of " + std::to_string(r.block_tokens) + " tokens for " +
         std::to_string(r.prompt_tokens) + " prompt tokens";
}

/// What a line's own counts say, whatever its attempts do.
Usage counts_of(const TraceRecord& r) {
  return {.input = r.prompt_tokens,
          .cached_read = r.cached_tokens.value_or(0),
          .cache_write = r.cache_write_tokens.value_or(0),
          .output = r.output_tokens,
          .reasoning = r.reasoning_tokens.value_or(0),
          .cache_write_1h = r.cache_write_1h_tokens.value_or(0)};
}

}  // namespace

std::string contradiction(const TraceRecord& r) {
  std::string fault = fault_of_usage(counts_of(r), "");
  if (fault.empty()) fault = fault_of_times(r);
  if (fault.empty()) fault = fault_of_blocks(r);
  for (std::size_t i = 0; fault.empty() && i < r.attempts.size(); ++i) fault = fault_of_attempt(r.attempts[i]);
  return fault;
}

void TraceLine::read(std::string_view text) {
  clear(record_);
  columns_.reset();
  Line line{JsonCursor(text), record_};
  std::string_view key;
  for (line.cursor.begin_object(); line.cursor.next_key(key);) read_field(line, key);
  line.cursor.end();
  unread_ = std::move(line.usage.unread);
  if (line.columns.at() > 0) {
    line.columns.finish(line.cursor);
    unread_.clear();  // totals over all requests
    columns_ = std::move(line.columns);
    return;
  }
  finish_counts(line);
  if (line.is_mooncake) finish_mooncake(line);
  if (const std::string fault = contradiction(record_); !fault.empty()) line.cursor.fail(fault);
  const std::size_t whole = record_.prompt_tokens / record_.block_tokens;
  if (record_.prefix_blocks.size() > whole) record_.prefix_blocks.resize(whole);  // a partial block can be in no cache
}

void TraceLine::take(std::size_t i, TraceRecord& record) {
  if (!columns_) return std::swap(record, record_);
  record = columns_->request(i, record_);
  if (const std::string fault = contradiction(record); !fault.empty())
    throw JsonFault{columns_->at(), "request " + std::to_string(i + 1) + ": " + fault};
}

}  // namespace frugal::meter

namespace frugal {

bool came_whole(const TraceRecord& r) {
  if (r.output_tokens < 2) return false;
  if (r.pieces) return *r.pieces == 1;
  constexpr double fastest_ms = 0.02;  // a token
  return r.ttft_ms && r.e2e_ms && *r.e2e_ms - *r.ttft_ms < fastest_ms * static_cast<double>(r.output_tokens - 1);
}

Usage usage_of(const TraceRecord& r) {
  if (r.attempts.size() == 1 && r.attempts.front().usage != Usage{}) return r.attempts.front().usage;
  return meter::counts_of(r);
}

}  // namespace frugal
