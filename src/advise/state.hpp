// What a Workload holds: the sums for reports, the sample for the levers.
#pragma once

#include "advise/answer_replay.hpp"
#include "advise/bursts.hpp"
#include "advise/in_order.hpp"
#include "advise/prefix_replay.hpp"
#include "advise/prompt_traffic.hpp"
#include "advise/sample.hpp"

#include <frugal/advise/workload.hpp>

#include <functional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace frugal {

struct Workload::State {
  explicit State(WorkloadOptions o);

  WorkloadOptions options;
  SliceStats total{};
  std::vector<SliceStats> types{}, models{};                 ///< in the order of appearance
  std::vector<advisor::Bursts> bursts{};                     ///< [types]
  std::vector<std::unordered_set<std::uint64_t>> answers{};  ///< [types]: distinct answer hashes, at most 1,025
  std::vector<std::uint64_t> answered{};                     ///< [types]: requests with an answer hash
  Recorded recorded{};
  PrefixOutcome prefix{};
  advisor::Sample sample;
  double first_at = 0, last_at = 0;
  std::uint64_t empty_answers = 0, bad_lines = 0, short_chains = 0;
  bool finished = false;

  void add(TraceRecord record);
  void finish();

 private:
  struct Quote;
  struct Model {
    std::size_t slice = 0;
    bool hosted = false;
    std::uint64_t salt = 0;
    CacheRules rules{};
  };
  struct Money {
    double cost = 0;
    LeverCosts levers{};
  };
  void serve(TraceRecord& record, double at);
  advisor::Row row_of(const TraceRecord& record, double at);
  void price(const TraceRecord& record, double at, advisor::Row& row);
  void replay(const TraceRecord& record, double at, advisor::Row& row);
  void clock(const TraceRecord& record, double at, advisor::Row& row);
  void watch(const TraceRecord& record, double at, const advisor::Row& row);
  void meet(std::uint64_t ordinal, double ahead, double others);
  void sum(const TraceRecord& record, const advisor::Row& row, SliceStats& slice) const;
  void count(const TraceRecord& record, const advisor::Row& row);
  std::size_t type_index(const std::string& name);
  Model& model(const std::string& name);
  Quote quote(const std::string& model, const Usage& usage, double at);

  advisor::InOrder order_;
  advisor::PrefixReplay prefixes_;
  advisor::AnswerReplay repeats_;
  advisor::PromptTraffic traffic_;
  std::unordered_map<std::string, std::size_t> type_of_{};
  std::unordered_map<std::string, Model> model_of_{};
  std::priority_queue<double, std::vector<double>, std::greater<>> ends_{};  ///< of the requests in flight, s
  std::vector<Money> relative_of_type_{}, relative_of_model_{};              ///< where no model has a price
  Money relative_total_{};
  LeverCosts levers_{};  ///< of the request that is served
  std::uint64_t ordinal_ = 0;
};

}  // namespace frugal
