// Matcher: the running constraint of one answer, and the sources that open them.
//
// What a program has learned in one answer (automata, masks of lexemes) serves the next: a source keeps its workbenches
// and lends one to each answer, so nothing that runs is shared between threads.
#pragma once

#include "grammar/parser/closing.hpp"
#include "grammar/running/habits.hpp"
#include "grammar/running/token_masks.hpp"
#include "grammar/schema/judge.hpp"

#include <frugal/core/constraint.hpp>
#include <frugal/text/tokenizer.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace frugal::grammar {

/// A parser of one program and the masks of one vocabulary.
struct Workbench {
  Workbench(std::shared_ptr<const Program> p, std::shared_ptr<const Vocabulary> v)
      : program(std::move(p)),
        vocabulary(std::move(v)),
        parser(*program),
        masks(*vocabulary, parser),
        closing(parser) {}
  std::shared_ptr<const Program> program;
  std::shared_ptr<const Vocabulary> vocabulary;
  Parser parser;
  TokenMasks masks;
  Closing closing;
  Habits habits;
  std::unique_ptr<Judge> judge{};  ///< once it was asked for
};

/// The workbenches of a source that are not in use. Any thread.
class Workshop {
 public:
  explicit Workshop(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::unique_ptr<Workbench> take(const Tokenizer& tokenizer);
  void give_back(std::unique_ptr<Workbench> bench);
  const Program& program() const { return *program_; }

 private:
  static constexpr std::size_t kMostKept = 8;
  static constexpr std::size_t kMostBytes = std::size_t{32} << 20;  ///< of one that is kept
  std::shared_ptr<const Program> program_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workbench>> idle_;
};

class Matcher : public Constraint {
 public:
  Matcher(std::shared_ptr<Workshop> shop, const Tokenizer& tokenizer);
  ~Matcher() override;
  Matcher(const Matcher&) = delete;
  Matcher& operator=(const Matcher&) = delete;

  void mask(std::span<std::uint32_t> words) override;
  bool advance(Token token) override;
  void rollback(std::size_t tokens) override;
  ConstraintState state() const override;
  void forced(std::size_t most, std::vector<Token>& out) override;
  bool closes(std::size_t most, std::vector<Token>* way) override;
  void closing_mask(std::size_t most, std::span<std::uint32_t> words) override;
  std::optional<DocumentVerdict> judge() override;

 private:
  struct Step {
    StateId state;
    Parser::Mark mark;  ///< before the token
    std::size_t bytes;  ///< of the text, before the token
    Token token;
  };
  StateId now() const { return steps_.empty() ? bench_->parser.start() : steps_.back().state; }
  bool closes_from(StateId state, std::size_t most, unsigned& searches, std::vector<Token>* way);
  std::string forced_bytes(std::size_t most);
  void learn();
  void spell(std::string_view forced, bool whole, std::size_t most, std::vector<Token>& out) const;

  std::shared_ptr<Workshop> shop_;
  std::unique_ptr<Workbench> bench_;
  const Tokenizer& tokenizer_;
  std::vector<Step> steps_;
  std::string text_;
  std::vector<Habits::Open> asked_;  ///< what was forced at places whose tokens are not all known yet
};

class Source : public ConstraintSource {
 public:
  Source(std::string name, std::unique_ptr<Program> program)
      : name_(std::move(name)), shop_(std::make_shared<Workshop>(std::move(program))) {}
  std::string_view name() const override { return name_; }
  expected<std::unique_ptr<Constraint>> open(const Tokenizer& tokenizer) const override;
  const Program& program() const { return shop_->program(); }

 private:
  std::string name_;
  std::shared_ptr<Workshop> shop_;
};

}  // namespace frugal::grammar
