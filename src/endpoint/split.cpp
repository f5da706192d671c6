#include <frugal/endpoint/split.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <set>
#include <utility>

#include "core/splitmix.hpp"
#include "endpoint/guarded_sink.hpp"
#include "endpoint/members.hpp"
#include "endpoint/prompt_text.hpp"

namespace frugal {

namespace {

std::vector<Endpoint*> endpoints_of(const std::vector<SplitArm>& arms) {
  std::vector<Endpoint*> all;
  for (const SplitArm& arm : arms) all.push_back(arm.endpoint);
  return all;
}

// Upper ends of the arms' parts of [0, 1).
std::vector<double> ends_of(const std::vector<SplitArm>& arms) {
  const auto refuse = [](const char* what) {
    throw Error(Errc::invalid_argument, std::string("SplitOptions::") + what);
  };
  double sum = 0;
  for (const SplitArm& arm : arms) {
    if (!(arm.share >= 0) || !std::isfinite(arm.share)) refuse("arms has a share that is negative or not finite");
    sum += arm.share;
  }
  if (!(sum > 0) || !std::isfinite(sum)) refuse("arms has no share above 0");
  std::vector<double> ends;
  double end = 0;
  for (const SplitArm& arm : arms) ends.push_back((end += arm.share) / sum);
  // Rounding must leave nothing beyond the last arm that has a share.
  for (std::size_t i = arms.size(); i-- > 0;) {
    ends[i] = 1;
    if (arms[i].share > 0) break;
  }
  return ends;
}

std::uint64_t hash_of(std::string_view text, std::uint64_t seed) {
  std::uint64_t hash = seed;
  for (const char c : text) hash = mix64(hash + splitmix_gamma + static_cast<unsigned char>(c));
  return mix64(hash ^ text.size());
}

}  // namespace

struct Split::Impl {
  explicit Impl(SplitOptions o)
      : options(std::move(o)),
        arms(endpoints_of(options.arms), "SplitOptions::arms"),
        ends(ends_of(options.arms)),
        seed(hash_of(options.experiment, 0)) {
    std::set<std::string> names{options.name};
    for (const Members::Member& arm : arms)
      if (!names.insert(arm.name).second)
        throw Error(Errc::invalid_argument, "SplitOptions::arms: the name \"" + arm.name + "\" is there twice");
  }

  std::size_t place(double at) const {
    const auto found = std::upper_bound(ends.begin(), ends.end(), at);
    return std::min<std::size_t>(static_cast<std::size_t>(found - ends.begin()), ends.size() - 1);
  }

  std::string unit_of(const Request& request) const {
    if (options.unit) {
      try {
        return options.unit(request);
      } catch (...) {  // a unit of its own
        return {};
      }
    }
    const std::string_view conversation = conversation_of(request);
    return conversation.empty() ? request.id : std::string(conversation);
  }

  std::size_t arm_of(const Request& request) {
    const std::string unit = unit_of(request);
    if (!unit.empty()) return place(unit_interval(hash_of(unit, seed)));
    return place(uniform_at(seed, alone.fetch_add(1)));
  }

  SplitOptions options;
  Members arms;
  std::vector<double> ends;
  std::uint64_t seed;
  std::atomic<std::uint64_t> alone{0};  // requests without a unit
};

Split::Split(SplitOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Split::~Split() { retire(); }

std::string_view Split::name() const { return impl_->options.name; }
std::size_t Split::arm_of(std::string_view unit) const {
  return impl_->place(unit_interval(hash_of(unit, impl_->seed)));
}

Call Split::start(Request request, std::shared_ptr<Sink> sink) {
  std::size_t arm = 0;
  try {
    const auto named = std::find_if(impl_->arms.begin(), impl_->arms.end(),
                                    [&](const Members::Member& m) { return m.name == request.model; });
    if (named != impl_->arms.end()) {
      arm = static_cast<std::size_t>(named - impl_->arms.begin());
      request.model.clear();
    } else {
      if (request.model == name()) request.model.clear();
      arm = impl_->arm_of(request);
      request.labels.emplace_back(impl_->options.name, impl_->arms[arm].name);
    }
  } catch (...) {
    refuse_without_memory(std::move(sink), {});
    return {};
  }
  return impl_->arms[arm].endpoint.start(std::move(request), sink);
}

Progress Split::step() { return impl_->arms.step(); }
void Split::watch(Waker& waker, bool every_step) { impl_->arms.watch(waker, every_step); }
void Split::unwatch(Waker& waker) { impl_->arms.unwatch(waker); }
void Split::wake() { impl_->arms.wake(); }
std::optional<TimePoint> Split::next_deadline() const { return impl_->arms.next_deadline(); }

Load Split::load() const {
  const std::vector<Load> loads = impl_->arms.loads();
  Load sum = Members::sum(loads);
  sum.free_tokens.reset();
  for (std::size_t i = 0; i < loads.size(); ++i)
    if (impl_->options.arms[i].share > 0) sum.accepting = sum.accepting && loads[i].accepting;
  return sum;
}

std::vector<std::string> Split::may_answer(std::string_view model) const {
  std::vector<std::string> all;
  const std::string_view asked = model == name() ? std::string_view() : model;
  for (std::size_t i = 0; i < impl_->arms.size(); ++i) {
    const Members::Member& arm = impl_->arms[i];
    const EndpointRef::Visit visit = arm.endpoint.enter();
    const bool named = arm.name == asked;
    if (!visit || (!named && impl_->options.arms[i].share == 0)) continue;
    for (std::string& name : visit->may_answer(named ? std::string_view() : asked))
      if (std::find(all.begin(), all.end(), name) == all.end()) all.push_back(std::move(name));
  }
  return all;
}

}  // namespace frugal
