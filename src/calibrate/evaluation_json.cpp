#include <frugal/calibrate/evaluate.hpp>

#include <nlohmann/json.hpp>

namespace frugal {

namespace {

using Json = nlohmann::ordered_json;

Json or_null(const std::optional<double>& x) { return x ? Json(*x) : Json(nullptr); }

Json of(const EvaluationOf& e) {
  Json out;
  if (!e.type.empty()) out["type"] = e.type;
  out["n"] = e.n;
  out["accepted_share"] = e.accepted_share;
  out["error_among_accepted"] = or_null(e.error_among_accepted);
  out["loss_against_last"] = e.loss_against_last;
  out["cost_share_of_last"] = or_null(e.cost_share_of_last);
  return out;
}

}  // namespace

std::string evaluation_json(const FittedCascade& cascade, const Evaluation& evaluation) {
  Json out = of(evaluation.all);
  const Guarantee& g = cascade.guarantee();
  out["guarantee"] = {{"kind", g.kind == Guarantee::Kind::max_loss ? "max_loss" : "max_error"},
                      {"limit", g.limit},
                      {"confidence", g.confidence},
                      {"held", evaluation.held}};
  out["area_of_gap_recovered"] = or_null(evaluation.area_of_gap_recovered);
  out["by_type"] = Json::array();
  for (const EvaluationOf& e : evaluation.by_type) out["by_type"].push_back(of(e));
  out["front"] = Json::array();
  for (const FrontPoint& p : evaluation.front)
    out["front"].push_back({{"name", p.name}, {"cost_share", p.cost_share}, {"accuracy", p.accuracy}});
  return out.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace frugal
