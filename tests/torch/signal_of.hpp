// How a process ends that does something: for what must trap.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

namespace frugal::testing {

/// Does it in a forked process; the signal that ended it, or 0.
inline int signal_of(const std::function<void()>& act) {
  const pid_t child = fork();
  if (child == 0) {
    for (const int s : {SIGSEGV, SIGABRT}) std::signal(s, SIG_DFL);
    act();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace frugal::testing
