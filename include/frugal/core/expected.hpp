// expected<T>: a value or the Error that took its place, for calls that fail as part of normal service.
//
// The subset of std::expected (C++23, not in g++ 12) that frugal uses, with Error as the error type, so that a
// later switch to the standard one changes no caller. Same thread-safety as T.
#pragma once

#include <frugal/core/error.hpp>

#include <type_traits>
#include <utility>
#include <variant>

namespace frugal {

/// Wraps an error so that it converts to any expected<T>.
class unexpected {
 public:
  explicit unexpected(Error error) : error_(std::move(error)) {}
  unexpected(Errc code, std::string message) : error_(code, std::move(message)) {}
  Error& error() & noexcept { return error_; }
  Error&& error() && noexcept { return std::move(error_); }

 private:
  Error error_;
};

template <class T>
class [[nodiscard]] expected {
 public:
  using value_type = T;
  using error_type = Error;

  template <class U = T>
  requires(std::is_constructible_v<T, U> && !std::is_same_v<std::remove_cvref_t<U>, expected> &&
           !std::is_same_v<std::remove_cvref_t<U>, unexpected>) expected(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}
  expected(unexpected failure) : state_(std::in_place_index<1>, std::move(failure).error()) {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; throws the held Error where there is none.
  T& value() & { return rethrow(), std::get<0>(state_); }
  const T& value() const& { return rethrow(), std::get<0>(state_); }
  T&& value() && { return rethrow(), std::get<0>(std::move(state_)); }

  /// The value; undefined where there is none.
  T& operator*() & noexcept { return *std::get_if<0>(&state_); }
  const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
  T&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() noexcept { return std::get_if<0>(&state_); }
  const T* operator->() const noexcept { return std::get_if<0>(&state_); }

  /// The error; undefined where there is a value.
  const Error& error() const& noexcept { return *std::get_if<1>(&state_); }
  Error&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

  template <class U>
  T value_or(U&& fallback) const& {
    return has_value() ? **this : static_cast<T>(std::forward<U>(fallback));
  }

 private:
  void rethrow() const {
    if (!has_value()) throw error();
  }
  std::variant<T, Error> state_;
};

/// Success without a value, or an Error.
template <>
class [[nodiscard]] expected<void> {
 public:
  using value_type = void;
  using error_type = Error;

  expected() = default;
  expected(unexpected failure) : error_(std::in_place_index<1>, std::move(failure).error()) {}
  bool has_value() const noexcept { return error_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (!has_value()) throw error();
  }
  const Error& error() const& noexcept { return *std::get_if<1>(&error_); }

 private:
  std::variant<std::monostate, Error> error_;
};

}  // namespace frugal
