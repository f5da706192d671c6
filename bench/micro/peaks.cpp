#include "micro/peaks.hpp"

#include "cpu/kernels/kernels.hpp"
#include "cpu/memory.hpp"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bench {
namespace {

#if defined(__x86_64__)

bool runs(std::string_view table) {
  for (const auto* k : frugal::cpu::available_kernels())
    if (k->name == table) return true;
  return false;
}

// Each loop writes its instruction out in assembler, so that neither flags nor the compiler's taste change it.
#define FRUGAL_TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
constexpr int turns = 4000;
#define FRUGAL_ZMM(i) "vpdpbusd %%zmm31, %%zmm30, %%zmm" #i "\n"
#define FRUGAL_FMA(i) "vfmadd231ps %%zmm31, %%zmm30, %%zmm" #i "\n"
#define FRUGAL_YMM(i) "vpmaddubsw %%ymm15, %%ymm14, %%ymm" #i "\n vpaddw %%ymm13, %%ymm" #i ", %%ymm" #i "\n"
#define FRUGAL_FMA2(i) "vfmadd231ps %%ymm15, %%ymm14, %%ymm" #i "\n"

void avx2_loop() {
  for (int i = 0; i < turns; ++i) asm volatile(FRUGAL_TWELVE(FRUGAL_YMM)::: "memory");
}
void fma_loop() {
  for (int i = 0; i < turns; ++i) asm volatile(FRUGAL_TWELVE(FRUGAL_FMA2)::: "memory");
}
void vnni_loop() {
  for (int i = 0; i < turns; ++i) asm volatile(FRUGAL_TWELVE(FRUGAL_ZMM)::: "memory");
}
void fma512_loop() {
  for (int i = 0; i < turns; ++i) asm volatile(FRUGAL_TWELVE(FRUGAL_FMA)::: "memory");
}

/// Tiles 0 to 3 += tiles 4, 5 x tiles 6, 7, of `inputs` bytes a row.
struct TileConfig {
  std::uint8_t palette = 1, start = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

void tile_loop(std::uint16_t inputs) {
  alignas(64) TileConfig config;
  for (int t = 0; t < 8; ++t) {
    config.rows[t] = static_cast<std::uint8_t>(t < 6 ? 16 : inputs / 4);
    config.row_bytes[t] = t == 4 || t == 5 ? inputs : 64;
  }
  asm volatile("ldtilecfg %0" ::"m"(config));
  for (int i = 0; i < turns; ++i)
    asm volatile(
        "tdpbsud %%tmm6, %%tmm4, %%tmm0\n tdpbsud %%tmm7, %%tmm5, %%tmm1\n"
        "tdpbsud %%tmm6, %%tmm4, %%tmm2\n tdpbsud %%tmm7, %%tmm5, %%tmm3\n" ::
            : "memory");
  asm volatile("tilerelease");
}

#endif

double clock_hz() {
#if defined(__x86_64__)
  return 20000.0 / least_seconds(0.01, [] {
           long n = 20000;
           asm volatile("1: dec %0\n jnz 1b" : "+r"(n)::"cc");
         });
#else
  return 0.0;
#endif
}

template <class F>
void add(Peaks& peaks, const char* what, bool integer, double each_turn, F&& loop) {
  peaks.multiply.push_back({what, turns * each_turn / least_seconds(0.05, loop), integer});
}

/// Adds up 64-bit words.
std::uint64_t sum_plain(const std::uint8_t* data, std::size_t bytes) {
  std::uint64_t sums[8] = {};
  const auto* words = reinterpret_cast<const std::uint64_t*>(data);
  for (std::size_t i = 0; i < bytes / 8; i += 8)
    for (std::size_t k = 0; k < 8; ++k) sums[k] += words[i + k];
  return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] std::uint64_t sum_avx2(const std::uint8_t* data, std::size_t bytes) {
  __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
  for (std::size_t i = 0; i < bytes; i += 128) {
    const auto* at = reinterpret_cast<const __m256i*>(data + i);
    a = _mm256_add_epi64(a, at[0]), b = _mm256_add_epi64(b, at[1]);
    c = _mm256_add_epi64(c, at[2]), d = _mm256_add_epi64(d, at[3]);
  }
  const __m256i all = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
  return static_cast<std::uint64_t>(_mm256_extract_epi64(all, 0) + _mm256_extract_epi64(all, 1) +
                                    _mm256_extract_epi64(all, 2) + _mm256_extract_epi64(all, 3));
}
#endif

double read_rate(const frugal::cpu::HugeBuffer& buffer, std::size_t bytes) {
  auto* sum = sum_plain;
#if defined(__x86_64__)
  if (runs("avx2")) sum = sum_avx2;
#endif
  const int times = static_cast<int>(std::max<std::size_t>(1, (std::size_t{1} << 22U) / bytes));
  std::uint64_t sink = 0;
  const double s = least_seconds(0.1, [&] {
    for (int t = 0; t < times; ++t) {
      sink += sum(buffer.data(), bytes);
      asm volatile("" : "+r"(sink)::"memory");
    }
  });
  return static_cast<double>(bytes) * times / s;
}

}  // namespace

Peaks measure_peaks() {
  Peaks peaks;
  peaks.clock_hz = clock_hz();
#if defined(__x86_64__)
  if (runs("avx2")) add(peaks, "AVX2 vpmaddubsw and vpaddw, 8 bit", true, 12 * 32, avx2_loop);
  if (runs("avx2")) add(peaks, "AVX2 vfmadd, fp32", false, 12 * 8, fma_loop);
  if (runs("avx512-vnni")) add(peaks, "AVX-512 vpdpbusd, 8 bit", true, 12 * 64, vnni_loop);
  if (runs("avx512-vnni")) add(peaks, "AVX-512 vfmadd, fp32", false, 12 * 16, fma512_loop);
  if (runs("avx512-amx")) {
    add(peaks, "AMX tdpbsud, 8 bit, 64 inputs", true, 4 * 16 * 16 * 64, [] { tile_loop(64); });
    add(peaks, "AMX tdpbsud, 8 bit, 32 inputs (one block)", false, 4 * 16 * 16 * 32, [] { tile_loop(32); });
  }
#endif
  constexpr std::size_t most = std::size_t{256} << 20U;
  frugal::cpu::HugeBuffer buffer(most);
  std::memset(buffer.data(), 1, most);
  for (const std::size_t kib : {16UL, 256UL, 1024UL, 8192UL, 98304UL, 262144UL})
    peaks.reads.push_back({kib << 10U, read_rate(buffer, kib << 10U)});
  return peaks;
}

void print(const Peaks& peaks) {
  std::printf("one thread, clock %.2f GHz\n", peaks.clock_hz / 1e9);
  for (const Peak& p : peaks.multiply)
    std::printf("  %-45s %6.0f 10^9 multiply-adds a second\n", p.what.c_str(), p.per_second / 1e9);
  for (const Reads& r : peaks.reads)
    std::printf("  reads of %8.2f MiB again and again %27.1f GB/s\n", static_cast<double>(r.bytes) / (1 << 20),
                r.bytes_per_second / 1e9);
}

}  // namespace bench
