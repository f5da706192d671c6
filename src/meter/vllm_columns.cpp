#include "meter/vllm_columns.hpp"

#include "meter/reported_usage.hpp"

#include <cmath>
#include <string>

namespace frugal::meter {

namespace {

template <class T, class Item>
void read_column(JsonCursor& c, std::vector<T>& out, Item item) {
  for (c.begin_array(); c.next_item();) out.push_back(item(c));
}

double seconds(JsonCursor& c) {
  const double value = c.number();
  if (value < 0) c.fail("a time below zero");
  return value;
}

double seconds_or_none(JsonCursor& c) { return c.take_null() ? std::nan("") : seconds(c); }

/// The gaps between one answer's tokens, summed.
double decode_seconds(JsonCursor& c) {
  double sum = 0;
  for (c.begin_array(); c.next_item();) sum += seconds(c);
  return sum;
}

bool has_text(JsonCursor& c) { return !c.take_null() && !c.string().empty(); }

}  // namespace

bool VllmColumns::read(std::string_view key, JsonCursor& c) {
  if (c.peek() != '[') return false;
  const std::size_t at = c.at();
  if (key == "input_lens")
    read_column(c, input_, read_count);
  else if (key == "output_lens")
    read_column(c, output_, read_count);
  else if (key == "ttfts")
    read_column(c, ttft_, seconds_or_none);
  else if (key == "itls")
    read_column(c, decode_, decode_seconds);
  else if (key == "start_times")
    read_column(c, start_, seconds_or_none);
  else if (key == "errors")
    read_column(c, failed_, has_text);
  else
    return false;
  if (at_ == 0) at_ = at;
  return true;
}

void VllmColumns::finish(const JsonCursor& cursor) const {
  const std::size_t n = input_.size();
  const auto fits = [&](std::size_t size) { return size == 0 || size == n; };
  if (n > 0 && output_.size() == n && fits(ttft_.size()) && fits(decode_.size()) && fits(start_.size()) &&
      fits(failed_.size()))
    return;
  cursor.fail("a vLLM result whose columns are not equally long: input_lens " + std::to_string(n) + ", output_lens " +
              std::to_string(output_.size()) + ", ttfts " + std::to_string(ttft_.size()) + ", itls " +
              std::to_string(decode_.size()) + ", start_times " + std::to_string(start_.size()) + ", errors " +
              std::to_string(failed_.size()));
}

TraceRecord VllmColumns::request(std::size_t i, const TraceRecord& common) const {
  TraceRecord r;
  r.type = common.type;
  r.tenant = common.tenant;
  r.model = common.model;
  r.endpoint = common.endpoint;
  r.prompt_tokens = input_[i];
  r.output_tokens = output_[i];
  if (!start_.empty() && !std::isnan(start_[i])) r.timestamp = start_[i];
  if (!failed_.empty() && failed_[i]) r.finish = FinishReason::error;
  if (ttft_.empty() || std::isnan(ttft_[i]) || r.finish) return r;
  r.ttft_ms = ttft_[i] * 1000;
  if (!decode_.empty()) r.e2e_ms = *r.ttft_ms + decode_[i] * 1000;
  return r;
}

}  // namespace frugal::meter
