#include "server/drivers.hpp"

#include <system_error>

#include "core/caught.hpp"

namespace frugal::server {

Drivers::Drivers(const std::vector<Endpoint*>& endpoints, bool drive, const LogSink& log) : log_(log) {
  if (!drive) return;
  for (Endpoint* endpoint : endpoints) drivers_.push_back({endpoint});
  try {
    for (Driver& driver : drivers_) driver.thread = std::thread([this, &driver] { run(driver); });
  } catch (const std::system_error& error) {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (Driver& driver : drivers_)
      if (driver.thread.joinable()) driver.thread.join();
    throw Error(Errc::unavailable, std::string("Server: no thread: ") + error.what());
  }
}

Drivers::~Drivers() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (Driver& driver : drivers_) {
    driver.endpoint->wake();
    if (driver.thread.joinable()) driver.thread.join();
  }
}

void Drivers::add(const Endpoint& endpoint, std::int64_t count) {
  {
    const std::lock_guard lock(mutex_);
    for (Driver& driver : drivers_)
      if (driver.endpoint == &endpoint) driver.live += count;
  }
  if (count > 0) changed_.notify_all();
}

bool Drivers::resting(const Driver& driver) {
  const std::lock_guard lock(mutex_);
  return stopping_ || driver.live <= 0;
}

void Drivers::run(Driver& driver) {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || driver.live > 0; });
      if (stopping_) return;
    }
    try {
      driver.endpoint->drive([&] { return resting(driver); });
    } catch (...) {
      if (log_) log_(LogLevel::error, 0, "driving an endpoint failed: " + caught_text());
      std::unique_lock lock(mutex_);  // not again at once: it may fail each time
      changed_.wait_for(lock, std::chrono::seconds(1), [&] { return stopping_; });
    }
  }
}

}  // namespace frugal::server
