#include "engine/parts.hpp"

#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "core/caught.hpp"

namespace frugal {
namespace {

void require(bool holds, const char* what) {
  if (!holds) throw Error(Errc::invalid_argument, std::string("EngineOptions::") + what);
}

void check_drafts(EngineOptions& options) {
  require(std::count(options.drafters.begin(), options.drafters.end(), nullptr) == 0, "drafters holds a null");
  for (DraftModel& d : options.draft_models) {
    require(d.model != nullptr, "draft_models holds a null model");
    if (d.target.empty()) d.target = options.models.front().name;
    if (d.name.empty()) d.name = d.model->name();
    const auto named = [&](const EngineModel& m) { return m.name == d.target; };
    if (std::none_of(options.models.begin(), options.models.end(), named))
      throw Error(Errc::invalid_argument,
                  "EngineOptions::draft_models names the target \"" + d.target + "\", which is not in models");
  }
}

EngineOptions checked(EngineOptions options) {
  require(options.backend != nullptr, "backend is null");
  require(!options.models.empty(), "models is empty");
  for (const EngineModel& m : options.models) {
    require(m.model != nullptr, "models holds a null model");
    const auto same = [&](const EngineModel& other) { return other.name == m.name; };
    require(std::count_if(options.models.begin(), options.models.end(), same) == 1, "models holds two of one name");
  }
  require(options.max_running > 0, "max_running is 0");
  require(!options.stall_budget || *options.stall_budget >= Duration::zero(), "stall_budget is negative");
  require(options.longest_wait > Duration::zero(), "longest_wait is not positive");
  for (const auto& [tenant, weight] : options.tenant_weights)
    require(std::isfinite(weight) && weight > 0, "tenant_weights holds a weight that is not a positive number");
  check_drafts(options);
  options.log = guarded_log(std::move(options.log), options.name == "engine" ? "" : options.name + ": ");
  if (options.observer) options.observer = std::make_shared<GuardedObserver>(options.observer, options.log);
  return options;
}

// The policy's answer; what it throws becomes Error(policy) with its name.
PrefixIndex::Worth worth_by(std::shared_ptr<PrefixCachePolicy> policy) {
  return [policy = std::move(policy)](const PrefixView& piece) {
    try {
      return policy->worth(piece);
    } catch (...) {
      throw Error(Errc::policy, "prefix cache policy " + std::string(policy->name()) + ": " + caught_text());
    }
  };
}

}  // namespace

EngineParts::EngineParts(EngineOptions o) : options(checked(std::move(o))), clock(options.clock) {
  for (const EngineModel& m : options.models) {
    slots.push_back(std::make_unique<ModelSlot>());
    add_model(*slots.back(), m.name, m.model);
  }
  std::vector<std::unique_ptr<DraftModelSlot>> drafts;
  if (options.speculation) {
    for (const DraftModel& d : options.draft_models) drafts.push_back(add_draft_model(d));
  }
  set_up_arena(drafts);
  if (options.speculation) {
    speculation = std::make_unique<Speculation>(options, clock, std::move(drafts),
                                                DraftModelPass::Host{store.get(), &clock, &options});
    speculation->run_trials(slots);
  }
  scheduler = std::make_unique<Scheduler>(options, clock, slots, *store, speculation.get());
}

void EngineParts::add_model(ModelSlot& slot, const std::string& name, std::shared_ptr<const Model> model) {
  slot.name = name;
  slot.id = options.backend->add_model(model);
  slot.tokenizer = model->tokenizer() ? model->tokenizer()->fingerprint() : model->fingerprint();
  if (const Tokenizer* tokenizer = model->tokenizer())
    for (std::uint32_t t = 0; t < model->tokens(); ++t)
      if (tokenizer->is_end(static_cast<Token>(t))) slot.ends.push_back(static_cast<Token>(t));
  slot.model = std::move(model);
}

std::unique_ptr<DraftModelSlot> EngineParts::add_draft_model(const DraftModel& d) {
  auto draft = std::make_unique<DraftModelSlot>();
  draft->target = find(d.target);
  draft->sampled = d.sampled;
  const Model& target = *draft->target->model;
  if (target.tokenizer() == nullptr || d.model->tokenizer() == nullptr) {
    if (target.spec().vocab != d.model->spec().vocab)
      throw Error(Errc::invalid_argument, "draft model " + d.name + " and " + d.target +
                                              " have vocabularies of different sizes and no tokenizers to compare");
  } else if (target.tokenizer()->fingerprint() != d.model->tokenizer()->fingerprint()) {
    draft->bridge = std::make_unique<VocabularyBridge>(*target.tokenizer(), *d.model->tokenizer());
  }
  add_model(draft->slot, d.name, d.model);
  if (!draft->bridge) draft->slot.tokenizer = draft->target->tokenizer;  // one tree, a page list per model
  return draft;
}

/// What was left to the backend, once it holds the weights. Most of its free memory: it needs some beside the arena.
static void fill_from_backend(EngineOptions& options) {
  const EngineOptions usual;
  const BackendTraits traits = options.backend->traits();
  const auto or_usual = [](const auto& told, auto otherwise) { return told && *told > 0 ? *told : otherwise; };
  if (options.kv_bytes == 0) options.kv_bytes = traits.free_bytes ? *traits.free_bytes / 10 * 9 : usual.kv_bytes;
  if (options.step_tokens == 0) options.step_tokens = or_usual(traits.step_rows, usual.step_tokens);
  if (options.prefill_chunk == 0) options.prefill_chunk = or_usual(traits.chunk, usual.prefill_chunk);
}

void EngineParts::set_up_arena(std::span<const std::unique_ptr<DraftModelSlot>> drafts) {
  std::vector<ModelSlot*> all;
  for (const auto& slot : slots) all.push_back(slot.get());
  for (const auto& draft : drafts) all.push_back(&draft->slot);
  std::vector<std::size_t> bytes_per_token;
  for (const ModelSlot* slot : all) bytes_per_token.push_back(options.backend->kv_bytes_per_token(slot->id));
  fill_from_backend(options);
  const std::size_t bytes = options.kv_bytes / Arena::granule_bytes * Arena::granule_bytes;
  const std::optional<std::size_t> most = options.backend->traits().free_bytes;
  if (most && *most > 0 && bytes > *most)
    throw Error(Errc::too_large, "EngineOptions::kv_bytes is " + std::to_string(options.kv_bytes >> 20) +
                                     " MiB, but the backend's memory is " + std::to_string(*most >> 20) + " MiB");
  arena = std::make_unique<Arena>(bytes, plan_arena(bytes, bytes_per_token, std::span(&options.page_tokens, 1)));
  std::vector<PageGeometry> geometry;
  for (ModelSlot* slot : all) {
    const PagePlan& page = arena->page(slot->id);
    slot->page_tokens = page.page_tokens;
    slot->most_pages = arena->grantable(slot->id);
    geometry.push_back({page.page_tokens, page.page_bytes});
  }
  options.backend->bind_arena({bytes, geometry});
  options.step_tokens = std::min(options.step_tokens, options.backend->traits().max_rows);  // fixed from here on
  if (options.prefix_cache) {
    index = std::make_unique<PrefixIndex>(*arena, worth_by(options.prefix_cache), clock);
  }
  store = std::make_unique<KvStore>(KvStore{*arena, index.get(), *options.backend, options.log});
}

ModelSlot* EngineParts::find(std::string_view name) const {
  if (name.empty()) return slots.front().get();
  for (const auto& slot : slots)
    if (slot->name == name) return slot.get();
  return nullptr;
}

}  // namespace frugal
