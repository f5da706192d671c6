// Drivers: one thread for each endpoint, which drives it while requests of the server run there and sleeps otherwise.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/endpoint/endpoint.hpp>

#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

namespace frugal::server {

class Drivers {
 public:
  /// Threads for these endpoints; none where `drive` is false. The log outlives this.
  Drivers(const std::vector<Endpoint*>& endpoints, bool drive, const LogSink& log);
  ~Drivers();  ///< after the last request has ended
  Drivers(const Drivers&) = delete;
  Drivers& operator=(const Drivers&) = delete;

  /// A request was started there, or has ended. Ends may come before their starts. Any thread.
  void started(const Endpoint& endpoint) { add(endpoint, 1); }
  void ended(const Endpoint& endpoint) { add(endpoint, -1); }

 private:
  struct Driver {
    Endpoint* endpoint;
    std::int64_t live = 0;
    std::thread thread{};
  };
  void add(const Endpoint& endpoint, std::int64_t count);
  void run(Driver& driver);
  bool resting(const Driver& driver);

  const LogSink& log_;
  std::mutex mutex_{};
  std::condition_variable changed_{};
  bool stopping_ = false;
  std::list<Driver> drivers_{};
};

}  // namespace frugal::server
