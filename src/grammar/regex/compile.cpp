#include "grammar/compile.hpp"

#include "grammar/expr/counters.hpp"
#include "grammar/regex/tree.hpp"

namespace frugal::grammar {

namespace {

std::unique_ptr<Program> program_of(std::unique_ptr<Program> program, ExprId text, const char* name) {
  if (!program->store.live(text)) throw Error(Errc::invalid_argument, std::string(name) + ": no text is allowed");
  program->start.push_back({Symbol::Kind::terminal, text});
  return program;
}

}  // namespace

std::unique_ptr<Program> compile_regex(std::string_view pattern, const Limits& limits) {
  auto program = std::make_unique<Program>(limits);
  if (pattern.size() > limits.source_bytes) over_limit("the pattern is too long");
  try {
    const Alphabet alphabet(program->store, Alphabet::Spelling::utf8);
    const ExprId text = regex_match(parse_regex(pattern, RegexSyntax::re2, limits), alphabet);
    return program_of(std::move(program), text, "regex");
  } catch (const RegexFault& fault) {
    throw Error(Errc::unsupported, "regex: the pattern has " + fault.text());
  }
}

std::unique_ptr<Program> compile_choice(const std::vector<std::string>& texts, const Limits& limits) {
  auto program = std::make_unique<Program>(limits);
  for (const std::string& text : texts) {
    if (text.empty()) throw Error(Errc::invalid_argument, "choice: an empty text");
  }
  const ExprId any = texts.empty() ? kNothing : program->store.counter(one_of_literals(texts));
  return program_of(std::move(program), any, "choice");
}

}  // namespace frugal::grammar
