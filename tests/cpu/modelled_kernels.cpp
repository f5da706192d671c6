#include "cpu/kernels/attend_bf16.hpp"
#include "cpu/kernels/tiles.hpp"
#include "cpu/modelled_tiles.hpp"
#include "cpu/tables.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>

namespace frugal::cpu {
namespace {
#include "cpu/kernels/lanes.inc"
#include "cpu/kernels/vnni_panel.inc"
}  // namespace
}  // namespace frugal::cpu

const frugal::cpu::Kernels& frugal::testing::modelled_kernels() {
  static const cpu::Kernels table = [] {
    cpu::Kernels k = cpu::portable_kernels();
    k.name = "modelled", k.multiply = cpu::multiply_panel, k.wide = &cpu::Wide<cpu::ModelledTiles>::table;
    k.bf16 = &cpu::bf16_table<cpu::ModelledBf16Tiles>;
    return k;
  }();
  return table;
}

TEST_CASE("Every instruction set's kernels run here, on the processor or in the software model") {
  const auto native = [](std::string_view name) {
    for (const auto* k : frugal::cpu::available_kernels())
      if (k->name == name) return true;
    return false;
  };
  std::string report;
  for (const char* name : {"avx512-amx", "avx512-vnni", "avx-vnni"})  // their own source over modelled instructions
    report += std::string(name) + (native(name) ? ": run natively, and in the model\n" : ": run in the model\n");
#if defined(__x86_64__)
  for (const char* name : {"avx2", "portable"})  // of AVX2 there is no model
    report += std::string(name) + (native(name) ? ": run natively\n" : ": not run\n");
#elif defined(__aarch64__)
  for (const char* name : {"neon", "portable"})  // of NEON there is no model
    report +=
        std::string(name) + (native(name) ? ": run natively, or in an emulator of the processor\n" : ": not run\n");
#endif
  report += frugal::cpu::refused_kernels();
  CHECK(native("portable"));
  WARN(report);
}
