// Runs a fuzz target once over every file of the folders and files named: what ctest does with the corpus, with any
// compiler. With --mutants N first: over N random mutants of these files as well, the same ones on every machine. Each
// input has 10 seconds, and the process 2 GB of memory: beyond that it ends by a signal, as after a crash.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::vector<char> bytes(std::istreambuf_iterator<char>(in), {});
  return {bytes.begin(), bytes.end()};
}

void run(const Bytes& input) {
  const Bytes exact(input);  // of exactly this size, so that a sanitizer sees the first byte read past it
  ::alarm(10);
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
  ::alarm(0);
}

/// Makes mutants of seeds: a few changes each, of the kinds that readers of lengths, offsets and JSON stumble over.
class Mutator {
 public:
  explicit Mutator(const std::vector<Bytes>& seeds) : seeds_(seeds) {}

  Bytes next() {
    Bytes b = seeds_[below(seeds_.size())];
    for (std::size_t changes = 1 + below(6); changes > 0; --changes) change(b);
    return b;
  }

 private:
  std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }

  void change(Bytes& b) {
    static constexpr std::array<std::string_view, 14> words{
        "[",       "{", "}", "]", "\"", ":", ",", "null", "true", "-1", "1e999", "\\u0000", "99999999999999999999",
        "[[[[[[[["};
    const std::size_t at = below(b.size()), n = below(std::min<std::size_t>(b.size() - at, 64) + 1);
    const auto place = b.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(8)) {
      case 0:  // a bit
        if (!b.empty()) b[at] = static_cast<std::uint8_t>(b[at] ^ (1U << below(8)));
        return;
      case 1:  // a byte
        if (!b.empty()) b[at] = static_cast<std::uint8_t>(random_());
        return;
      case 2:  // a number of 4 or 8 bytes, extreme or near what was there
        return number(b, at);
      case 3:
        b.resize(at);
        return;
      case 4:
        b.erase(place, place + static_cast<std::ptrdiff_t>(n));
        return;
      case 5: {
        const Bytes copy(place, place + static_cast<std::ptrdiff_t>(n));
        b.insert(b.begin() + static_cast<std::ptrdiff_t>(below(b.size() + 1)), copy.begin(), copy.end());
        return;
      }
      case 6: {
        const std::string_view word = words[below(words.size())];
        b.insert(place, word.begin(), word.end());
        return;
      }
      default: {  // the rest of another seed
        const Bytes& other = seeds_[below(seeds_.size())];
        b.resize(at);
        b.insert(b.end(), other.begin() + static_cast<std::ptrdiff_t>(below(other.size() + 1)), other.end());
      }
    }
  }

  void number(Bytes& b, std::size_t at) {
    static constexpr std::array<std::uint64_t, 8> extremes{
        0, 1, 0x7F, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFF0};
    const std::size_t width = below(2) == 0 ? 4 : 8;
    if (b.size() < at + width) return;
    std::uint64_t value = 0;
    std::memcpy(&value, b.data() + at, width);
    value = below(2) == 0 ? extremes[below(extremes.size())] : value + below(9) - 4;
    std::memcpy(b.data() + at, &value, width);
  }

  const std::vector<Bytes>& seeds_;
  std::mt19937_64 random_{20260};
};

void limit_memory() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose shadow is larger than any limit
  const rlimit limit{std::size_t{2} << 30, std::size_t{2} << 30};
  ::setrlimit(RLIMIT_AS, &limit);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t mutants = 0;
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--mutants" && i + 1 < argc) {
      mutants = std::strtoul(argv[++i], nullptr, 10);
    } else if (!std::filesystem::is_directory(argv[i])) {
      files.emplace_back(argv[i]);
    } else {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i]))
        if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());  // the same mutants on every machine
  std::vector<Bytes> seeds;
  for (const auto& file : files) seeds.push_back(read(file));
  if (seeds.empty()) return 1;
  limit_memory();
  for (const Bytes& seed : seeds) run(seed);
  Mutator mutator(seeds);
  for (std::size_t i = 0; i < mutants; ++i) run(mutator.next());
  std::printf("%zu inputs, %zu mutants\n", seeds.size(), mutants);
  return 0;
}
