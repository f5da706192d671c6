// The subcommands of the program `frugal`. Each adds itself to the command line; the returned function runs it once the
// line is parsed and throws frugal::Error where it fails. One thread.
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

namespace CLI {
class App;
}

namespace frugal::tools {

struct Command {
  CLI::App* app;             ///< owned by the parent
  std::function<int()> run;  ///< writes results to standard output, all else to standard error; returns the exit code

  /// `action` returns the exit code, or nothing for 0.
  template <class Action>
  Command(CLI::App* a, Action action) : app(a) {
    if constexpr (std::is_void_v<std::invoke_result_t<Action>>)
      run = [action = std::move(action)] { return action(), 0; };
    else
      run = std::move(action);
  }
};

Command add_tokenize(CLI::App& parent);
Command add_render(CLI::App& parent);
Command add_generate(CLI::App& parent);
Command add_batch(CLI::App& parent);
Command add_score(CLI::App& parent);
Command add_replay(CLI::App& parent);
Command add_advise(CLI::App& parent);
Command add_cascade(CLI::App& parent);
Command add_train(CLI::App& parent);
Command add_head(CLI::App& parent);
Command add_grammar(CLI::App& parent);
Command add_serve(CLI::App& parent);  ///< in builds with the components http and server

}  // namespace frugal::tools
