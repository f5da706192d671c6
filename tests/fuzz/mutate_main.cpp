// Runs a fuzz target over many random mutants of its corpus: the same ones everywhere, with any compiler.
//   mutants_NAME COUNT CORPUS...
// Fails where one takes more than ten seconds or the process more than 2 GB; a crash ends it by itself. The last input is
// then in mutant.bin of the working folder.
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr const char* pieces[] = {"{",
                                  "}",
                                  "[",
                                  "]",
                                  "\"",
                                  ":",
                                  ",",
                                  "null",
                                  "true",
                                  "-1",
                                  "0",
                                  "1e308",
                                  "1e999",
                                  "0.5",
                                  "18446744073709551615",
                                  "4294967296",
                                  "{}",
                                  "[]",
                                  "\\u0000",
                                  "\\ud800",
                                  "\xFF",
                                  "\xC3",
                                  "{%",
                                  "%}",
                                  "{{",
                                  "}}",
                                  "|",
                                  "(",
                                  ")",
                                  "-",
                                  "endif",
                                  "endfor",
                                  "messages",
                                  "content",
                                  "range(99999)",
                                  "[[[[[[[[[[[[[[[[",
                                  "{\"a\":{\"a\":{\"a\":",
                                  "~",
                                  "* 9999999",
                                  "loop"};

std::vector<Bytes> read_corpus(int argc, char** argv) {
  std::vector<Bytes> out;
  for (int i = 2; i < argc; ++i) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i]))
      if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());  // the order of a folder differs between machines
    for (const auto& file : files) {
      std::ifstream in(file, std::ios::binary);
      out.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
  }
  return out;
}

class Mutator {
 public:
  explicit Mutator(const std::vector<Bytes>& corpus) : corpus_(corpus) {}

  Bytes next() {
    Bytes out = corpus_[below(corpus_.size())];
    for (std::size_t n = 1 + below(4); n > 0; --n) change(out);
    return out;
  }

 private:
  std::size_t below(std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random_() % n); }
  std::ptrdiff_t place(const Bytes& b) { return static_cast<std::ptrdiff_t>(below(b.size() + 1)); }

  void insert(Bytes& out, const Bytes& what) { out.insert(out.begin() + place(out), what.begin(), what.end()); }
  Bytes slice(const Bytes& from, std::size_t most) {
    const auto begin = place(from);
    const std::size_t rest = from.size() - static_cast<std::size_t>(begin);
    return {from.begin() + begin, from.begin() + begin + static_cast<std::ptrdiff_t>(below(std::min(rest, most) + 1))};
  }

  void change(Bytes& out) {
    switch (below(7)) {
      case 0:
        if (!out.empty()) out[below(out.size())] ^= static_cast<std::uint8_t>(1U << below(8));
        return;
      case 1:
        if (!out.empty()) out[below(out.size())] = static_cast<std::uint8_t>(below(256));
        return;
      case 2:
        out.resize(below(out.size() + 1));
        return;
      case 3: {
        const auto begin = place(out), end = place(out);
        out.erase(out.begin() + std::min(begin, end),
                  out.begin() + std::min(std::max(begin, end), std::min(begin, end) + 40));
        return;
      }
      case 4: {
        const char* piece = pieces[below(std::size(pieces))];
        return insert(out, Bytes(piece, piece + std::char_traits<char>::length(piece)));
      }
      case 5:
        return insert(out, slice(out, 200));
      default:
        return insert(out, slice(corpus_[below(corpus_.size())], 2000));
    }
  }

  const std::vector<Bytes>& corpus_;
  std::mt19937_64 random_{20261126};
};

long peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "usage: mutants_NAME COUNT CORPUS...\n"), 2;
  const std::vector<Bytes> corpus = read_corpus(argc, argv);
  if (corpus.empty()) return std::fprintf(stderr, "no corpus\n"), 2;
  Mutator mutator(corpus);
  double slowest = 0;
  const long count = std::atol(argv[1]);
  for (long i = 0; i < count; ++i) {
    const Bytes mutant = mutator.next();
    std::ofstream("mutant.bin", std::ios::binary)
        .write(reinterpret_cast<const char*>(mutant.data()), static_cast<std::streamsize>(mutant.size()));
    const std::clock_t begun = std::clock();  // of the processor: other programs may be at work too
    if (LLVMFuzzerTestOneInput(mutant.data(), mutant.size()) != 0) return std::printf("mutant %ld failed\n", i), 1;
    const double seconds = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
    slowest = std::max(slowest, seconds);
    if (seconds > 10) return std::printf("mutant %ld took %.1f s\n", i, seconds), 1;
  }
  std::filesystem::remove("mutant.bin");
  std::printf("%ld mutants of %zu inputs, the slowest took %.2f s, at most %ld MB\n", count, corpus.size(), slowest,
              peak_megabytes());
  return peak_megabytes() > 2048 ? 1 : 0;
}
