#include "model/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <frugal/core/error.hpp>

#include <cerrno>
#include <string>
#include <system_error>

namespace frugal::model {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* verb) {
  throw Error(Errc::bad_file, path.string() + ": cannot " + verb + ": " + std::generic_category().message(errno));
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

/// False with errno set. A file that ends early is an error too.
bool read_all(int fd, std::byte* to, std::size_t size) {
  for (std::size_t done = 0; done < size;) {
    const ssize_t n = ::pread(fd, to + done, size - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path, LoadOptions::Weights how) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};  // a pipe must not block here
  if (file.fd < 0) fail(path, "open");
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) fail(path, "examine");
  if (!S_ISREG(status.st_mode)) throw Error(Errc::bad_file, path.string() + ": is not a regular file");
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;  // nothing to map: an empty span
  const bool map = how == LoadOptions::Weights::map;
  void* const at = map ? ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0)
                       : ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) fail(path, "map");
  data_ = static_cast<const std::byte*>(at);
  if (!map && !read_all(file.fd, static_cast<std::byte*>(at), size_)) {
    ::munmap(at, size_);
    fail(path, "read");
  }
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace frugal::model
