// Tickets: what the default submit() of a synchronous backend remembers of its last passes: the tokens drawn, the
// distributions that were to be kept, and what the pass threw. A fixed ring, so a step allocates nothing once warm.
#pragma once

#include <frugal/backend/backend.hpp>

#include <array>
#include <cstdint>
#include <exception>
#include <functional>
#include <span>
#include <vector>

namespace frugal::backend {

class Tickets {
 public:
  /// Runs `work` now. Throws Error(busy) where the ring is full of tickets that nobody waited for.
  Ticket run(const std::function<void()>& work);
  /// Runs the batch through `forward`, with tokens and draft distributions of earlier passes filled in.
  Ticket run(const Batch& batch, const std::function<void(const Batch&)>& forward);
  /// The same for a backend that keeps distributions itself: `draft` and `keep_distribution` reach it as they are.
  Ticket run_keeping(const Batch& batch, const std::function<void(const Batch&, Ticket)>& pass);
  /// Throws what the work threw; Error(invalid_argument) where the ticket is unknown or was waited for before.
  void wait(Ticket ticket);

 private:
  struct Pass {
    Ticket ticket{};
    bool waited = true;
    bool failed = false;
    std::exception_ptr error{};
    std::vector<Token> drawn{};
    std::vector<std::vector<float>> kept{};  ///< [draws], empty where not asked for; [0] where no draw keeps
  };
  struct Patch;
  Pass& open();
  Ticket run_patched(const Batch& batch, bool keeps, const std::function<void(const Batch&, Ticket)>& forward);
  const Pass& named(DrawRef ref) const;
  Patch patched(const Batch& batch, Pass& pass, bool keeps) const;
  void patch_draw(DrawSpec& draw, std::vector<float>& kept, bool keeps) const;
  void patch_tokens(Segment& segment, std::vector<Token>& tokens) const;

  std::uint64_t next_ = 1;
  std::array<Pass, ticket_memory> ring_;
};

}  // namespace frugal::backend
