// Endpoint::Lifeline: what outlives an endpoint. Counts who is inside, so that a destructor can wait for them.
#pragma once

#include <frugal/endpoint/endpoint.hpp>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>

namespace frugal {

struct Endpoint::Lifeline {
  std::mutex mutex;
  std::condition_variable left;
  Endpoint* endpoint = nullptr;  // null = gone
  std::size_t visitors = 0;
  std::shared_ptr<Lifeline> heir;
  std::atomic<bool> gone{false};

  const std::shared_ptr<Watchers> watchers = std::make_shared<Watchers>();  // who may work on the endpoint
  const std::shared_ptr<Watchers> inside = std::make_shared<Watchers>();    // who sits in drive(): woken when it goes
};

}  // namespace frugal
