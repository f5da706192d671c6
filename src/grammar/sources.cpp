// The public functions: compile once, keep by content.
#include <frugal/core/json_schema_source.hpp>

#include "grammar/compile.hpp"
#include "grammar/running/matcher.hpp"

#include <list>
#include <mutex>
#include <unordered_map>

namespace frugal::grammar {

namespace {

class SchemaSource final : public JsonSchemaSource {
 public:
  SchemaSource(std::string schema, std::unique_ptr<Program> program)
      : schema_(std::move(schema)), compiled_("json_schema", std::move(program)) {}
  std::string_view name() const override { return compiled_.name(); }
  expected<std::unique_ptr<Constraint>> open(const Tokenizer& tokenizer) const override {
    return compiled_.open(tokenizer);
  }
  std::string_view schema() const override { return schema_; }

 private:
  std::string schema_;
  Source compiled_;
};

// What was compiled, and the bytes that it takes.
struct Made {
  std::shared_ptr<const ConstraintSource> source;
  std::size_t bytes;
};

Made made(const char* name, std::unique_ptr<Program> program) {
  const std::size_t bytes = program->memory();
  return {std::make_shared<const Source>(name, std::move(program)), bytes};
}

// Compiled sources by their text, within a limit of bytes. Compiling happens outside the lock.
class Cache {
 public:
  static Cache& instance() {
    static Cache cache;
    return cache;
  }

  template <class Compile>
  std::shared_ptr<const ConstraintSource> get(const char* name, std::string key, const Compile& compile) {
    key.insert(0, std::string(name) + '\0');
    if (auto known = find(key)) return known;
    Made fresh = compile();
    store(std::move(key), fresh);
    return fresh.source;
  }

  void set_bytes(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    limit_ = bytes;
    trim();
  }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const ConstraintSource> source;
    std::size_t bytes;
  };

  std::shared_ptr<const ConstraintSource> find(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto at = by_key_.find(key);
    if (at == by_key_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, at->second);
    return at->second->source;
  }

  void store(std::string key, const Made& fresh) {
    const std::size_t bytes = key.size() * 2 + fresh.bytes;
    const std::lock_guard lock(mutex_);
    if (by_key_.contains(key)) return;
    entries_.push_front({key, fresh.source, bytes});
    by_key_[std::move(key)] = entries_.begin();
    bytes_ += bytes;
    trim();
  }

  void trim() {
    while (bytes_ > limit_ && !entries_.empty()) {
      bytes_ -= entries_.back().bytes;
      by_key_.erase(entries_.back().key);
      entries_.pop_back();
    }
  }

  std::mutex mutex_;
  std::size_t limit_ = std::size_t{64} << 20, bytes_ = 0;
  std::list<Entry> entries_;  // the one used last first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
};

void append_field(std::string& key, std::string_view field) {
  key += std::to_string(field.size());
  key += ':';
  key += field;
}

std::string key_of(const JsonSchemaOptions& options) {
  std::string key = options.whitespace == Whitespace::compact ? "c" : "f";
  key += options.order == Order::schema ? 's' : 'a';
  for (const std::string& keyword : options.lenient) append_field(key, keyword);
  return key + ';';
}

[[noreturn]] void refuse(const std::string& name, const std::vector<Refusal>& refusals) {
  std::string text = name + ": ";
  constexpr std::size_t kMostNamed = 5;
  for (std::size_t i = 0; i < std::min(kMostNamed, refusals.size()); ++i) {
    const Refusal& r = refusals[i];
    if (i > 0) text += "; ";
    text += (r.keyword.empty() ? "" : r.keyword + " ") + (r.path.empty() ? "" : "at " + r.path + ": ") + r.why;
  }
  if (refusals.size() > kMostNamed) text += "; and " + std::to_string(refusals.size() - kMostNamed) + " more";
  throw Error(refusals[0].keyword.empty() ? Errc::invalid_argument : Errc::unsupported, text);
}

}  // namespace

std::shared_ptr<const ConstraintSource> json_schema(std::string_view schema, const JsonSchemaOptions& options) {
  return Cache::instance().get("json_schema", key_of(options) + std::string(schema), [&] {
    std::unique_ptr<Program> program = compile_json_schema(schema, options, {});
    if (!program->refusals.empty()) refuse("json_schema", program->refusals);
    const std::size_t bytes = program->memory() + schema.size();
    return Made{std::make_shared<const SchemaSource>(std::string(schema), std::move(program)), bytes};
  });
}

std::shared_ptr<const ConstraintSource> regex(std::string_view pattern) {
  return Cache::instance().get("regex", std::string(pattern),
                               [&] { return made("regex", compile_regex(pattern, {})); });
}

std::shared_ptr<const ConstraintSource> choice(const std::vector<std::string>& texts) {
  std::string key;
  for (const std::string& text : texts) append_field(key, text);
  return Cache::instance().get("choice", std::move(key), [&] { return made("choice", compile_choice(texts, {})); });
}

std::shared_ptr<const ConstraintSource> ebnf(std::string_view grammar) {
  return Cache::instance().get("grammar", std::string(grammar),
                               [&] { return made("grammar", compile_ebnf(grammar, {})); });
}

std::shared_ptr<const ConstraintSource> tools(const std::vector<ToolSchema>& tools, const ToolCallFormat& format) {
  std::string key = key_of(format.arguments);
  for (const std::string* text : {&format.before, &format.between, &format.after}) append_field(key, *text);
  for (const ToolSchema& tool : tools) append_field(key, tool.name), append_field(key, tool.parameters);
  return Cache::instance().get("tools", std::move(key), [&] {
    std::unique_ptr<Program> program = compile_tools(tools, format, {});
    if (!program->refusals.empty()) refuse("tools", program->refusals);
    return made("tools", std::move(program));
  });
}

void set_cache_bytes(std::size_t bytes) { Cache::instance().set_bytes(bytes); }

}  // namespace frugal::grammar
