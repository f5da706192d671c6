// EngineParts: what an engine is made of, set up once from its options.
#pragma once

#include <frugal/cache/arena.hpp>
#include <frugal/cache/prefix_index.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/engine/options.hpp>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/guards.hpp"
#include "engine/scheduler.hpp"

namespace frugal {

struct EngineParts {
  /// Checks the options, tells the backend of every model, shares the arena among them and times trial passes. Throws
  /// as Engine's constructor does.
  explicit EngineParts(EngineOptions o);
  EngineParts(const EngineParts&) = delete;
  EngineParts& operator=(const EngineParts&) = delete;

  /// Null where no model has this name; the first one where it is empty.
  ModelSlot* find(std::string_view name) const;

  EngineOptions options;
  GuardedClock clock;
  std::unique_ptr<Arena> arena{};  // before everything that holds pages
  std::vector<std::unique_ptr<ModelSlot>> slots{};
  std::unique_ptr<PrefixIndex> index{};  // null = lever off
  std::unique_ptr<KvStore> store{};
  std::unique_ptr<Speculation> speculation{};  // null = lever off
  std::unique_ptr<Scheduler> scheduler{};      // touched by the driving thread only

 private:
  void add_model(ModelSlot& slot, const std::string& name, std::shared_ptr<const Model> model);
  std::unique_ptr<DraftModelSlot> add_draft_model(const DraftModel& d);
  void set_up_arena(std::span<const std::unique_ptr<DraftModelSlot>> drafts);
};

}  // namespace frugal
