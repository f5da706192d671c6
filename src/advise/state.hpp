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
  FailedRequests failed{};
  std::vector<std::string> unread_fields{};
  std::uint64_t bad_lines = 0, short_chains = 0;
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
  struct Money {  ///< relative, of all requests; in dollars, of the requests or attempts with a price
    double relative = 0, dollars = 0;
    LeverCosts relative_levers{}, levers{};
    void add(const Quote& quote, const LeverCosts& more);
  };
  void process(TraceRecord& record, double at);
  void process_failed(const TraceRecord& record, double at);
  advisor::Row row_of(const TraceRecord& record, double at);
  void fill_costs(const TraceRecord& record, double at, advisor::Row& row);
  void fill_attempt_costs(const TraceRecord& record, double at, advisor::Row& row);
  void replay_caches(const TraceRecord& record, double at, advisor::Row& row);
  void fill_times(const TraceRecord& record, double at, advisor::Row& row);
  void follow_traffic(const TraceRecord& record, double at, const advisor::Row& row);
  void set_traffic(std::uint64_t ordinal, double ahead, double others);
  void add_to_slice(const TraceRecord& record, const advisor::Row& row, SliceStats& slice) const;
  void count_recorded(const TraceRecord& record, const advisor::Row& row);
  std::size_t type_index(const std::string& name);
  std::size_t model_slice(const std::string& name);
  const Model& model(const std::string& name);
  Quote quote(const std::string& model, const Usage& usage, const TraceRecord& record, double at, bool batch);

  advisor::InOrder order_;
  advisor::PrefixReplay prefixes_;
  advisor::AnswerReplay repeats_;
  advisor::PromptTraffic traffic_;
  std::unordered_map<std::string, std::size_t> type_of_{};
  std::unordered_map<std::string, Model> model_of_{};
  std::priority_queue<double, std::vector<double>, std::greater<>> ends_{};  ///< of the requests in flight, s
  std::vector<Money> money_of_type_{}, money_of_model_{};
  Money total_money_{}, failed_money_{};
  Money money_{};     ///< of the request that is processed
  Model uncached_{};  ///< of a model beyond the table's limit
  std::uint64_t ordinal_ = 0;
};

}  // namespace frugal
