// The one loop in which a thread is lent to an endpoint: steps while there is work, sleeps otherwise.
#pragma once

#include <frugal/endpoint/endpoint.hpp>

#include <atomic>
#include <functional>
#include <optional>

namespace frugal {

struct Lending {
  Waker& waker;
  const std::function<bool()>& until;  ///< looked at before every step, and after every wake
  std::optional<TimePoint> last{};     ///< leave then, on the steady clock; none = never
  bool every_step = false;             ///< look after the steps of other threads as well
  bool leave_when_idle = false;
};

/// Returns where `until()` holds, the time is over, or `gone` is set. The caller visits the endpoint meanwhile.
void lend_thread(Endpoint& endpoint, const std::atomic<bool>& gone, const Lending& how);

}  // namespace frugal
