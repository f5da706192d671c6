// Reports: what a workload is made of and what to do about it, as one self-contained HTML file, as text for a terminal,
// and as JSON. Pure functions; safe from any thread; a few ms.
#pragma once

#include <frugal/advise/advisor.hpp>
#include <frugal/advise/outcome.hpp>
#include <frugal/config.hpp>

#include <string>

namespace frugal {

struct Report {
  std::string title = "frugal";
  const Workload* workload = nullptr;     ///< not null
  const Advice* advice = nullptr;         ///< null: no levers
  const Workload* after = nullptr;        ///< the same service with a lever pulled; null: no comparison
  const LeverOutcome* outcome = nullptr;  ///< of compare(*workload, *after, ...)
  std::string before_name = "before", after_name = "after";
};

/// A whole HTML document: inline styles and SVG, no script, nothing loaded from anywhere; light and dark, from a
/// phone's width up.
FRUGAL_API std::string report_html(const Report& report);
/// At most 110 columns, ends with a line end; valid UTF-8 without control characters, ASCII where all names are.
FRUGAL_API std::string report_text(const Report& report);
/// The advice alone, as text.
FRUGAL_API std::string advice_text(const Workload& workload, const Advice& advice);

/// {"bound_by", "slices": [{"type", "requests", "share": {"cost", "ttft", "e2e", "tail"}}], "levers": [{"lever",
/// "saving": {"of", "estimate", "low", "high"}, "assumption", "experiment"}], "short_prefixes": [{"type", "requests",
/// "shared_tokens", "least_tokens", "tokens_short", "saving"}]}, best first; only levers that are worth it, so an empty
/// list means that none is. One line with a line end.
FRUGAL_API std::string advice_json(const Advice& advice);
/// {"requests", "span_s", "cost", "unpriced", "failed", "relative_prices", "usage", "tokens", "drafts",
/// "cost_by_lever", "ttft_ms", "tpot_ms", "e2e_ms", "types", "models", "prefix_cache", "unknowable", "advice"?,
/// "outcome"?}: docs/advise.md. A cost that is unknown is null. One line with a line end.
FRUGAL_API std::string replay_json(const Report& report);

}  // namespace frugal
