// The pretend device itself: what it must trap and what it must hold back.
#include "torch/pretend_device.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <csignal>

#include "torch/lane.hpp"
#include "torch/parcel.hpp"
#include "torch/signal_of.hpp"

namespace frugal::testing {
namespace {

PretendDevice& pretend() { return PretendDevice::get(); }

at::Tensor device_floats(std::int64_t n) {
  return at::zeros({n}, at::TensorOptions(at::kFloat).device(pretend().device()));
}

TEST_CASE("host code that touches memory of the pretend device ends its process") {
  const at::Tensor x = device_floats(8);
  CHECK(signal_of([&] { *static_cast<volatile float*>(x.data_ptr()) = 1.0F; }) == SIGSEGV);
  CHECK(signal_of([&] { (void)*static_cast<volatile float*>(x.data_ptr()); }) == SIGSEGV);
  CHECK(signal_of([&] {
          const PretendDevice::Unlocked kernel;
          *static_cast<volatile float*>(x.data_ptr()) = 1.0F;
        }) == 0);
}

TEST_CASE("operations of the pretend device take no tensor of the host, and its new memory is no number") {
  const at::Tensor x = device_floats(8);
  CHECK_THROWS_AS(x + at::zeros({8}), c10::Error);
  CHECK_THROWS_AS(at::index_select(x, 0, at::zeros({2}, at::TensorOptions(at::kLong))), c10::Error);
  CHECK((x + 1.0).sum().to(at::kCPU).item<float>() == 8.0F);
  const at::Tensor fresh = at::empty({4}, x.options()).to(at::kCPU);
  CHECK(std::isnan(fresh[3].item<float>()));
}

TEST_CASE("queued copies of the pretend device arrive when they are waited for, and hold their source still") {
  const c10::InferenceMode mode;
  const aten::Lane lane(pretend().device());
  lane.on([&] {
    const at::Tensor there = device_floats(4) + 3.0;
    aten::Returns returns(pretend().device());
    const at::Tensor here = returns.bring(aten::Returns::records, there);
    CHECK(std::isnan(here.data_ptr<float>()[0]));
    lane.wait();
    CHECK(here.data_ptr<float>()[0] == 3.0F);

    const at::Tensor source = at::empty({4}, at::TensorOptions(at::kFloat).pinned_memory(true));
    source.fill_(1.0F);
    const at::Tensor sent = source.to(pretend().device(), true);
    source.data_ptr<float>()[2] = 2.0F;
    CHECK_THROWS_AS(lane.wait(), c10::Error);
    CHECK_NOTHROW(lane.wait());
    CHECK_THROWS_AS(at::empty({4}).copy_(sent, true), c10::Error);
  });
}

}  // namespace
}  // namespace frugal::testing
