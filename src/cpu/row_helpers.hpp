// RowHelpers: the members of a crew that have no row of their own left help the one that draws, a piece of its row at a
// time. One for each member that may draw; the drawing member calls run(), all others help().
#pragma once

#include "backend/row_passes.hpp"
#include "cpu/pool.hpp"

#include <atomic>
#include <cstdint>

namespace frugal::cpu {

class alignas(64) RowHelpers final : public backend::RowTeam {
 public:
  void run(std::uint32_t pieces, Work work) noexcept override {
    work_ = work;
    done_.store(0, std::memory_order_relaxed);
    state_.store(std::uint64_t{pieces} << 32, std::memory_order_release);
    while (help()) {
    }
    while (done_.load(std::memory_order_acquire) != pieces) breathe();
  }

  /// Does one piece of the present work. False: all are taken.
  bool help() noexcept {
    std::uint64_t state = state_.load(std::memory_order_acquire);
    do {
      if (static_cast<std::uint32_t>(state) >= state >> 32) return false;
    } while (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel, std::memory_order_acquire));
    // The piece is this thread's: until it is done, run() does not return and `work_` stays.
    work_.call(work_.self, static_cast<std::uint32_t>(state));
    done_.fetch_add(1, std::memory_order_release);
    return true;
  }

 private:
  Work work_{};
  std::atomic<std::uint64_t> state_{0};  ///< upper half: pieces; lower half: how many are taken
  std::atomic<std::uint32_t> done_{0};
};

}  // namespace frugal::cpu
