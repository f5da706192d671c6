// Metered: an endpoint that tells a Meter of every request that passes through it. Bring it wherever numbers are
// wanted: around an Engine, a Cascade, a remote endpoint, or each tier of a cascade.
//
// Threads: as the inner endpoint. Cost: a delta costs two readings of the clock's counter and a bin (about 0.1 us), a
// request some microseconds; no lock is taken while an answer runs.
#pragma once

#include <frugal/config.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/meter/meter.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace frugal {

struct MeteredOptions {
  bool is_tier =
      false;  ///< a tier of a cascade that is metered as a whole: only its times are counted, as an attempt's
  std::string service_tier{};  ///< of this endpoint's calls, for their price
  bool batch = false;          ///< likewise
};

class FRUGAL_API Metered final : public Endpoint {
 public:
  /// Both are lent: the endpoint and the meter outlive this and every request that was started through it.
  Metered(Endpoint& inner, Meter& meter, MeteredOptions options = {});
  ~Metered() override;
  std::string_view name() const override;  ///< the inner one's
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  bool step() override;
  void drive(const std::function<bool()>& until) override;

 private:
  struct Measuring;
  Endpoint& inner_;
  Meter& meter_;
  MeteredOptions options_;
};

}  // namespace frugal
