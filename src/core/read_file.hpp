// Whole files of bounded size, regular files only: a pipe, a device or a folder in place of a file is an error, never a
// read without end.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>

namespace frugal {

/// Far above any text that belongs to a model (the largest tokenizer.json known has 35 MB).
inline constexpr std::uint64_t most_text_bytes = std::uint64_t{512} << 20;

namespace detail {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

[[noreturn]] inline void fail_file(const std::string& path, const std::string& what, int number) {
  throw Error(Errc::bad_file, path + ": cannot " + what + ": " + std::generic_category().message(number));
}

inline std::string kind_of_file(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "a special file";
}

}  // namespace detail

/// Reads everything that an open descriptor gives, up to `most` bytes. Throws Error(bad_file) with the system's reason,
/// Error(too_large) beyond `most`. `name` stands for the source in errors.
inline std::string read_descriptor(int fd, const std::string& name, std::uint64_t most = most_text_bytes) {
  std::string out;
  while (true) {
    const std::size_t had = out.size();
    out.resize(had + std::max<std::size_t>(1U << 16, had / 2));
    const ssize_t got = ::read(fd, out.data() + had, out.size() - had);
    if (got < 0 && errno != EINTR) detail::fail_file(name, "read after byte " + std::to_string(had), errno);
    out.resize(had + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (out.size() > most)
      throw Error(Errc::too_large, name + ": larger than the limit of " + std::to_string(most) + " bytes");
    if (got == 0) return out;
  }
}

/// All bytes of a regular file. Throws Error(bad_file) where it cannot be read or is not a regular file,
/// Error(too_large) where it is larger than `most`.
inline std::string read_file(const std::string& path, std::uint64_t most = most_text_bytes) {
  // without O_NONBLOCK opening a pipe waits for its writer
  const detail::Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) detail::fail_file(path, "open", errno);
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) detail::fail_file(path, "examine", errno);
  if (!S_ISREG(status.st_mode))
    throw Error(Errc::bad_file, path + ": is " + detail::kind_of_file(status.st_mode) + ", not a regular file");
  if (static_cast<std::uint64_t>(status.st_size) > most)
    throw Error(Errc::too_large,
                path + ": has " + std::to_string(status.st_size) + " bytes, the limit is " + std::to_string(most));
  return read_descriptor(file.fd, path, most);
}

}  // namespace frugal
