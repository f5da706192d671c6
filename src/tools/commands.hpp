// The subcommands of the program `frugal`. Each adds itself to the command line; the returned function runs it once the
// line is parsed and throws frugal::Error where it fails. One thread.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace frugal::tools {

struct Command {
  CLI::App* app;              ///< owned by the parent
  std::function<void()> run;  ///< writes results to standard output, all else to standard error
};

Command add_tokenize(CLI::App& parent);
Command add_render(CLI::App& parent);
Command add_generate(CLI::App& parent);
Command add_score(CLI::App& parent);
Command add_replay(CLI::App& parent);
Command add_advise(CLI::App& parent);

}  // namespace frugal::tools
