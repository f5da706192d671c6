// What the storage formats are called and how many bytes a block of each takes.
#include <frugal/model/tensor.hpp>

namespace frugal {

std::string_view to_string(DType type) noexcept {
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::q4_0:
      return "q4_0";
    case DType::q4_1:
      return "q4_1";
    case DType::q5_0:
      return "q5_0";
    case DType::q5_1:
      return "q5_1";
    case DType::q8_0:
      return "q8_0";
    case DType::q2_k:
      return "q2_k";
    case DType::q3_k:
      return "q3_k";
    case DType::q4_k:
      return "q4_k";
    case DType::q5_k:
      return "q5_k";
    case DType::q6_k:
      return "q6_k";
    case DType::iq4_nl:
      return "iq4_nl";
    case DType::iq4_xs:
      return "iq4_xs";
    case DType::iq2_xxs:
      return "iq2_xxs";
    case DType::iq2_xs:
      return "iq2_xs";
    case DType::iq2_s:
      return "iq2_s";
    case DType::iq3_xxs:
      return "iq3_xxs";
    case DType::iq3_s:
      return "iq3_s";
    case DType::iq1_s:
      return "iq1_s";
    case DType::iq1_m:
      return "iq1_m";
  }
  return "unknown";
}

BlockShape block_shape(DType type) noexcept {
  switch (type) {
    case DType::f32:
      return {1, 4};
    case DType::f16:
      return {1, 2};
    case DType::bf16:
      return {1, 2};
    case DType::q4_0:
      return {32, 2 + 16};
    case DType::q4_1:
      return {32, 2 + 2 + 16};
    case DType::q5_0:
      return {32, 2 + 4 + 16};
    case DType::q5_1:
      return {32, 2 + 2 + 4 + 16};
    case DType::q8_0:
      return {32, 2 + 32};
    case DType::q2_k:
      return {256, 16 + 64 + 2 + 2};
    case DType::q3_k:
      return {256, 32 + 64 + 12 + 2};
    case DType::q4_k:
      return {256, 2 + 2 + 12 + 128};
    case DType::q5_k:
      return {256, 2 + 2 + 12 + 32 + 128};
    case DType::q6_k:
      return {256, 128 + 64 + 16 + 2};
    case DType::iq4_nl:
      return {32, 2 + 16};
    case DType::iq4_xs:
      return {256, 2 + 2 + 4 + 128};
    case DType::iq2_xxs:
      return {256, 2 + 64};
    case DType::iq2_xs:
      return {256, 2 + 64 + 8};
    case DType::iq2_s:
      return {256, 2 + 32 + 32 + 8 + 8};
    case DType::iq3_xxs:
      return {256, 2 + 64 + 32};
    case DType::iq3_s:
      return {256, 2 + 64 + 8 + 32 + 4};
    case DType::iq1_s:
      return {256, 2 + 32 + 16};
    case DType::iq1_m:
      return {256, 32 + 16 + 8};
  }
  return {1, 1};
}

}  // namespace frugal
