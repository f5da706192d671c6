// Metered: an endpoint that tells a Meter of every request that passes through it. Bring it wherever numbers are
// wanted: around an Engine, a Cascade, a remote endpoint, or each tier of a cascade.
//
// Threads: as the inner endpoint. Cost: a delta costs two readings of the clock's counter and a bin (about 0.1 us), a
// request some microseconds; no lock is taken while an answer runs.
#pragma once

#include <frugal/config.hpp>
#include <frugal/endpoint/wrapper.hpp>
#include <frugal/meter/meter.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace frugal {

struct MeteredOptions {
  /// A tier of a cascade that is metered as a whole: only its times are counted, as an attempt's.
  bool is_tier = false;
  std::string service_tier{};  ///< of this endpoint's calls, for their price
  bool batch = false;          ///< likewise
};

class FRUGAL_API Metered final : public EndpointWrapper {
 public:
  /// Both are lent. The meter outlives every request that was started through this; this itself need not.
  Metered(Endpoint& inner, Meter& meter, MeteredOptions options = {});
  ~Metered() override;
  Call start(Request request, std::shared_ptr<Sink> sink) override;

 private:
  struct Measuring;
  Meter& meter_;
  MeteredOptions options_;
};

}  // namespace frugal
