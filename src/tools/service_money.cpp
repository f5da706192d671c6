// Service: what its models may cost, and what has no price or nobody to pay for it.
#include <frugal/core/error.hpp>
#include <frugal/endpoint/budgeted.hpp>
#include <frugal/endpoint/metered.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tools/service.hpp"

namespace frugal::tools {

void Service::make_budgets() {
  std::map<std::string, std::vector<Limit>> limits;
  for (const ServeBudget& b : config_.budgets) limits[b.model].push_back(b.limit);
  for (auto& [model, of_it] : limits)
    budgets_.emplace(model, std::make_unique<Budget>(BudgetOptions{.limits = std::move(of_it)}));
}

// The endpoint within the budget of that name, if there is one. What a model may cost holds for it as a tier as well.
Endpoint& Service::within(const std::string& whose, const std::string& name, Endpoint& endpoint) {
  const auto budget = budgets_.find(whose);
  if (budget == budgets_.end()) return endpoint;
  BudgetedOptions options;
  options.prices = prices_;
  options.price_rules.unknown = config_.unknown_price;
  options.most_output = config_.most_output;
  options.model = name;
  return chain_.add<Budgeted>(endpoint, *budget->second, std::move(options));
}

// What all of them may cost together, and what they did.
Endpoint& Service::measured(const std::string& name, Endpoint& endpoint) {
  return chain_.add<Metered>(within("", name, endpoint), meter_);
}

// A budget without a price would refuse every request; that is better said now.
void Service::check_budgets() const {
  check_tenants();
  for (const ServeBudget& budget : config_.budgets) {
    if (!budget.model.empty() && parts_.count(budget.model) == 0)
      throw Error(Errc::invalid_argument, budget.place + ".model: nothing is called \"" + budget.model + "\"");
    if (config_.unknown_price != UnknownPrice::fail) continue;
    for (const auto& [name, part] : parts_) {
      if (!budget.model.empty() && budget.model != name) continue;
      for (const std::string& model : part.endpoint->may_answer({}))
        if (!prices_.contains(model) && !prices_.contains(name))
          throw Error(Errc::invalid_argument, budget.place + ": there is no price for \"" + model +
                                                  "\"; give one in prices, or say what an unknown_price costs");
    }
  }
}

// The same for a tenant that nobody can be.
void Service::check_tenants() const {
  const auto check = [this](const std::string& place, const std::string& tenant) {
    if (tenant.empty()) return;
    for (const ServeKey& key : config_.keys)
      if (key.tenant == tenant) return;
    throw Error(Errc::invalid_argument, place + ": no key has the tenant \"" + tenant + "\"");
  };
  for (const ServeBudget& budget : config_.budgets) check(budget.place + ".tenant", budget.limit.tenant);
  for (const auto& [tenant, weight] : config_.tenant_weights) check(config_.places.tenant_weights, tenant);
}

}  // namespace frugal::tools
