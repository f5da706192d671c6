// Cascade: the cheapest endpoint first, the next one where a policy is not content. Escalates by text (the request is
// sent again, so vocabularies may differ) and buffers: the caller sees only the accepted answer. Every attempt is in
// the ledger, the rejected ones with what they cost.
//
// Threads: as Endpoint. Its state lives in the sinks of its attempts, so it needs no thread and no lock of its own
// beyond one per request.
#pragma once

#include <frugal/config.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/policy/cascade.hpp>

#include <memory>
#include <string>
#include <vector>

namespace frugal {

struct CascadeOptions {
  std::string name = "cascade";
  std::vector<Endpoint*> tiers;  ///< cheapest first; lent, must outlive the cascade
  std::shared_ptr<CascadePolicy> policy;
};

class FRUGAL_API Cascade final : public Endpoint {
 public:
  /// Throws Error(invalid_argument) without tiers or policy.
  explicit Cascade(CascadeOptions options);
  ~Cascade() override;
  std::string_view name() const override;
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  bool step() override;

 private:
  struct Attempting;
  CascadeOptions options_;
};

}  // namespace frugal
