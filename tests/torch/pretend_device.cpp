// The operations of the pretend device: every one runs as LibTorch's own on the CPU over the same memory, unlocked for
// as long as it takes.
#include "torch/pretend_device.hpp"

#include <ATen/EmptyTensor.h>
#include <ATen/NativeFunctions.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/DefaultDtype.h>
#include <c10/core/DeviceType.h>
#include <torch/library.h>

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "torch/pretend_memory.hpp"

namespace frugal::testing {
namespace {

using pretend::Copies;
using pretend::Memory;
using pretend::Pinned;

bool is_ours(const at::Tensor& t) { return t.defined() && t.device().type() == c10::DeviceType::PrivateUse1; }

/// Of a thread: it makes them when it runs its first operation.
thread_local bool has_handles = false;

void count_operation() {
  if (pretend::Notes::get().replaying) return;
  if (!has_handles) pretend::Notes::get().refuse("a handle that a thread makes at its first operation");
  has_handles = true;
  ++Copies::get().counts.operations;
  if (pretend::current_stream() == 0) ++Copies::get().counts.on_default_stream;
  if (Copies::get().failures == 0) return;
  --Copies::get().failures;
  throw c10::AcceleratorError({__func__, __FILE__, __LINE__}, 700, "pretend: a kernel faulted");
}

/// The same memory as a tensor of the CPU.
at::Tensor as_host(const at::Tensor& t) {
  if (!is_ours(t)) return t;
  return at::from_blob(const_cast<void*>(t.const_data_ptr()), t.sizes(), t.strides(), t.options().device(at::kCPU));
}

at::Tensor on_device(const at::Tensor& host) {
  at::Tensor out =
      at::empty_strided(host.sizes(), host.strides(), host.options().device(PretendDevice::get().device()));
  as_host(out).copy_(host);
  return out;
}

/// One call: arguments go in as the host's, and what comes out goes back to the device.
class Call {
 public:
  explicit Call(const c10::OperatorHandle& op) : op_(op) {}

  void operator()(torch::jit::Stack* stack) {
    const std::size_t arguments = op_.schema().arguments().size();
    for (std::size_t i = stack->size() - arguments; i < stack->size(); ++i) (*stack)[i] = inward((*stack)[i]);
    count_operation();
    const bool noted = pretend::Notes::get().open();
    const torch::jit::Stack given =
        noted ? torch::jit::Stack(stack->end() - static_cast<std::ptrdiff_t>(arguments), stack->end())
              : torch::jit::Stack();
    const PretendDevice::Unlocked unlocked;
    op_.callBoxed(stack);
    const std::size_t results = op_.schema().returns().size();
    if (noted) note(given, results, stack);
    for (std::size_t i = stack->size() - results; i < stack->size(); ++i) (*stack)[i] = outward((*stack)[i]);
  }

 private:
  /// The same once more, on the same memory: arguments and results are addresses that nobody owns. Results go to the
  /// device first, so that they have addresses.
  void note(const torch::jit::Stack& given, std::size_t results, torch::jit::Stack* stack) {
    std::vector<at::Tensor> places;
    for (std::size_t i = stack->size() - results; i < stack->size(); ++i) {
      (*stack)[i] = outward((*stack)[i]);
      if ((*stack)[i].isTensor()) places.push_back(as_host((*stack)[i].toTensor()));
      TORCH_CHECK((*stack)[i].isTensor(), "pretend: ", op_.schema().name(),
                  " gives no tensor while a recording is made");
    }
    pretend::Notes::get().add([op = op_, given, places] {
      torch::jit::Stack again = given;
      op.callBoxed(&again);
      for (std::size_t i = 0; i < places.size(); ++i) {
        const at::Tensor result = again[again.size() - places.size() + i].toTensor();
        if (result.const_data_ptr() != places[i].const_data_ptr()) at::Tensor(places[i]).copy_(result);
      }
    });
  }

  at::Tensor inward(const at::Tensor& t) {
    if (!t.defined()) return t;
    TORCH_CHECK(is_ours(t) || t.dim() == 0, "pretend: ", op_.schema().name(),
                " mixes tensors of the device with one of the host");
    const at::Tensor host = as_host(t);
    originals_.emplace(host.unsafeGetTensorImpl(), t);
    kept_.push_back(host);
    return host;
  }

  c10::IValue inward(const c10::IValue& v) {
    if (v.isTensor()) return inward(v.toTensor());
    if (v.isDevice()) return c10::Device(c10::DeviceType::CPU);
    if (v.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& t : v.toTensorVector()) list.push_back(inward(t));
      return list;
    }
    if (v.isList() && v.toList().elementType()->kind() == c10::TypeKind::OptionalType) {
      c10::List<std::optional<at::Tensor>> list;
      for (const c10::IValue& e : v.toList().vec())
        list.push_back(e.isNone() ? std::nullopt : std::optional<at::Tensor>(inward(e.toTensor())));
      return list;
    }
    return v;
  }

  at::Tensor outward(const at::Tensor& t) {
    if (!t.defined() || is_ours(t)) return t;
    const auto original = originals_.find(t.unsafeGetTensorImpl());
    if (original != originals_.end()) return original->second;
    return Memory::get().owns(t.const_data_ptr()) ? view_of_original(t) : on_device(t);
  }

  at::Tensor view_of_original(const at::Tensor& t) {
    const auto* const at = static_cast<const char*>(t.const_data_ptr());
    for (const auto& [alias, original] : originals_) {
      if (!is_ours(original) || original.dtype() != t.dtype()) continue;
      const auto* const storage = static_cast<const char*>(original.storage().data());
      if (at < storage || at >= storage + original.storage().nbytes()) continue;
      return original.as_strided(t.sizes(), t.strides(), (at - storage) / static_cast<std::int64_t>(t.itemsize()));
    }
    TORCH_CHECK(false, "pretend: ", op_.schema().name(), " gives a view of none of its arguments");
  }

  c10::IValue outward(const c10::IValue& v) {
    if (v.isTensor()) return outward(v.toTensor());
    if (!v.isTensorList()) return v;
    c10::List<at::Tensor> list;
    for (const at::Tensor& t : v.toTensorVector()) list.push_back(outward(t));
    return list;
  }

  const c10::OperatorHandle& op_;
  std::unordered_map<c10::TensorImpl*, at::Tensor> originals_;
  std::vector<at::Tensor> kept_;
};

void any_operation(const c10::OperatorHandle& op, torch::jit::Stack* stack) { Call{op}(stack); }

at::Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &Memory::get(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(type), format);
}

at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, std::optional<at::ScalarType> type,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(
      sizes, strides, &Memory::get(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(type));
}

at::Tensor as_strided(const at::Tensor& t, at::IntArrayRef sizes, at::IntArrayRef strides,
                      std::optional<std::int64_t> offset) {
  return at::native::as_strided_tensorimpl(t, sizes, strides, offset);
}
at::Tensor view(const at::Tensor& t, at::IntArrayRef sizes) { return at::native::view(t, sizes); }
at::Tensor reshape_alias(const at::Tensor& t, at::IntArrayRef sizes, at::IntArrayRef strides) {
  return at::native::_reshape_alias(t, sizes, strides);
}

void copy_blocking(const at::Tensor& from, const at::Tensor& to) {
  pretend::Notes::get().refuse("a copy that is waited for");
  Copies& copies = Copies::get();
  ++copies.counts.blocking_copies;
  const PretendDevice::Unlocked unlocked;
  at::Tensor(as_host(to)).copy_(as_host(from));
  copies.wait(pretend::current_stream(), copies.now());
  --copies.counts.waits;  // counted as a copy
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool queued) {
  Copies& copies = Copies::get();
  count_operation();
  if (is_ours(from) && is_ours(to)) {
    const auto copy = [there = as_host(to), here = as_host(from)] { at::Tensor(there).copy_(here); };
    if (pretend::Notes::get().open()) {
      pretend::Notes::get().add(copy);
      return to;
    }
    const PretendDevice::Unlocked unlocked;
    copy();
    return to;
  }
  pretend::Notes::get().refuse("a copy between host and device");
  const at::Tensor& host = is_ours(from) ? to : from;
  const bool pinned = Pinned::get().owns(host.const_data_ptr());
  TORCH_CHECK(!queued || pinned || is_ours(to), "pretend: a queued copy from the device to memory that is not pinned");
  if (!queued || !pinned) {
    copy_blocking(from, to);
    return to;
  }
  TORCH_CHECK(host.is_contiguous() && from.dtype() == to.dtype(), "pretend: a queued copy that converts");
  ++copies.counts.queued_copies;
  (is_ours(from) ? copies.counts.bytes_down : copies.counts.bytes_up) += from.nbytes();
  const PretendDevice::Unlocked unlocked;
  if (is_ours(from)) {
    copies.from_device(pretend::current_stream(), as_host(from).clone().contiguous(), to);
  } else {
    at::Tensor(as_host(to)).copy_(from);
    copies.to_device(pretend::current_stream(), from);
  }
  return to;
}

/// A value that the host reads waits for the device.
at::Scalar read_value(const at::Tensor& t) {
  pretend::Notes::get().refuse("a value read by the host");
  ++Copies::get().counts.blocking_copies;
  const PretendDevice::Unlocked unlocked;
  return as_host(t).item();
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&any_operation>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("as_strided", &as_strided);
  m.impl("view", &view);
  m.impl("_reshape_alias", &reshape_alias);
  m.impl("_copy_from", &copy_from);
  m.impl("_local_scalar_dense", &read_value);
}

}  // namespace

PretendDevice& PretendDevice::get() {
  static PretendDevice device;
  return device;
}

// One thread, so that a process forked by a test has all of them.
PretendDevice::PretendDevice() {
  at::set_num_threads(1);
  c10::register_privateuse1_backend("pretend");
  pretend::register_device();
}

PretendCounts PretendDevice::counts() const { return Copies::get().counts; }
void PretendDevice::reset_counts() { Copies::get().counts = {}; }
void PretendDevice::limit_memory(std::size_t bytes) { Memory::get().limit = bytes; }
std::size_t PretendDevice::bytes_in_use() const { return Memory::get().in_use; }
void PretendDevice::fail(std::uint64_t operations) { Copies::get().failures = operations; }
void PretendDevice::forget_waits(bool forget) { Copies::get().forget_waits = forget; }

PretendDevice::Unlocked::Unlocked() { Memory::get().unlock(); }
PretendDevice::Unlocked::~Unlocked() { Memory::get().lock(); }

}  // namespace frugal::testing
