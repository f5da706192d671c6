#include "tools/command_grader.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <frugal/core/error.hpp>

#include <cerrno>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>
#include <variant>

namespace frugal::tools {

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what) { throw Error(Errc::policy, "the command " + what); }

std::string input_of(const Question& q, std::string_view answer) {
  nlohmann::json object{{"id", q.id}, {"type", q.type}, {"answer", answer}, {"expected", q.expected}};
  if (const auto* chat = std::get_if<Chat>(&q.request.prompt); chat != nullptr && !chat->messages.empty())
    object["prompt"] = chat->messages.back().content;
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// The running command. Whatever happens, its process group does not outlive this.
class Running {
 public:
  explicit Running(const std::string& command) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail("cannot be started: " + std::generic_category().message(errno));
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setpgid(0, 0);
      ::dup2(ends[0], 0);
      const int nowhere = ::open("/dev/null", O_WRONLY);
      if (nowhere >= 0) ::dup2(nowhere, 1);
      ::signal(SIGPIPE, SIG_DFL);
      ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    const int number = errno;
    ::close(ends[0]);
    input_ = ends[1];
    if (pid_ < 0) {
      ::close(input_);
      fail("cannot be started: " + std::generic_category().message(number));
    }
    ::setpgid(pid_, pid_);  // whichever of the two comes first
    ::fcntl(input_, F_SETFL, O_NONBLOCK);
  }
  ~Running() {
    close_input();
    ::kill(-pid_, SIGKILL);
    if (!ended_) ::waitpid(pid_, nullptr, 0);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  // As much as it reads; false where it reads no more.
  bool write(std::string_view& rest) {
    const ssize_t n = ::write(input_, rest.data(), rest.size());
    if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
    return n >= 0 || errno == EAGAIN || errno == EINTR;
  }
  void close_input() {
    if (input_ >= 0) ::close(input_);
    input_ = -1;
  }
  int input() const { return input_; }
  bool ended(int& status) {
    ended_ = ended_ || ::waitpid(pid_, &status, WNOHANG) == pid_;
    return ended_;
  }

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  bool ended_ = false;
};

double grade(int status) {
  if (WIFSIGNALED(status)) fail("was ended by signal " + std::to_string(WTERMSIG(status)));
  const int code = WEXITSTATUS(status);
  if (code > 1) fail("ended with " + std::to_string(code) + "; 0 means right, 1 wrong");
  return code == 0 ? 1 : 0;
}

}  // namespace

Grader expect_command(const std::string& command, std::chrono::milliseconds limit) {
  return [command, limit](const Question& question, std::string_view answer) {
    const std::string input = input_of(question, answer);
    std::string_view rest = input;
    Running running(command);
    const Clock::time_point last = Clock::now() + limit;
    int status = 0;
    auto pause = std::chrono::microseconds(200);
    while (!running.ended(status)) {
      if (Clock::now() >= last) fail("took longer than " + std::to_string(limit.count()) + " ms");
      if (running.input() >= 0 && (rest.empty() || !running.write(rest))) running.close_input();
      std::this_thread::sleep_for(pause);
      pause = std::min<std::chrono::microseconds>(pause * 2, std::chrono::milliseconds(10));
    }
    return grade(status);
  };
}

}  // namespace frugal::tools
