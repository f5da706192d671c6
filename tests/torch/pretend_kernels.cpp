#include "torch/pretend_kernels.hpp"

#include <tuple>
#include <type_traits>
#include <utility>

#include "torch/pretend_memory.hpp"

namespace frugal::testing {
namespace {

/// The host twin behind a member of the table.
template <auto Member>
struct OnDevice;
template <class... Args, int (*cuda::Kernels::*Member)(Args...) noexcept>
struct OnDevice<Member> {
  static int run(Args... args) noexcept {
    if (pretend::Notes::get().open()) {
      pretend::Notes::get().add([args = std::tuple<std::decay_t<Args>...>(args...)] {
        std::apply([](const auto&... a) { (cuda::host_kernels().*Member)(a...); }, args);
      });
      return 0;
    }
    const PretendDevice::Unlocked unlocked;
    return (cuda::host_kernels().*Member)(args...);
  }
};

const cuda::Kernels table{OnDevice<&cuda::Kernels::draw>::run,
                          OnDevice<&cuda::Kernels::add_norm>::run,
                          OnDevice<&cuda::Kernels::rope_append>::run,
                          OnDevice<&cuda::Kernels::unpack>::run,
                          OnDevice<&cuda::Kernels::product>::run,
                          OnDevice<&cuda::Kernels::route>::run,
                          OnDevice<&cuda::Kernels::expert_product>::run,
                          OnDevice<&cuda::Kernels::paged_attention>::run,
                          cuda::host_kernels().serves_paged,
                          cuda::host_kernels().multiprocessors};

}  // namespace

const cuda::Kernels& pretend_kernels() { return table; }

}  // namespace frugal::testing
