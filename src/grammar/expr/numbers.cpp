// Numbers on one side of a bound, read digit by digit. A number has no leading zeros, so of two whole parts the longer
// one is the larger, and of equally long ones the first digit that differs decides; so it is with fractions.
#include "grammar/expr/counters.hpp"

#include <algorithm>

namespace frugal::grammar {

std::string Decimal::plain() const {
  std::string text(negative ? "-" : "");
  text += whole();
  if (places > 0) (text += '.') += fraction();
  return text;
}

std::optional<Decimal> Decimal::parse(std::string_view text) {
  Decimal d;
  std::size_t at = 0;
  const auto digit = [&] { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
  if (at < text.size() && text[at] == '-') d.negative = true, ++at;
  const std::size_t first = at;
  while (digit()) d.digits += text[at++];
  if (at == first) return std::nullopt;
  if (at < text.size() && text[at] == '.') {
    ++at;
    while (digit()) d.digits += text[at++], ++d.places;
  }
  long exponent = 0;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    const bool minus = at < text.size() && text[at] == '-';
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    while (digit()) exponent = std::min(exponent * 10 + (text[at++] - '0'), 1000L);
    if (minus) exponent = -exponent;
  }
  if (at != text.size() || exponent < -400 || exponent > 400) return std::nullopt;
  for (; exponent > 0; --exponent) (d.places > 0) ? void(--d.places) : void(d.digits += '0');
  d.places += static_cast<std::size_t>(-exponent);
  if (d.digits.size() <= d.places) d.digits.insert(0, d.places + 1 - d.digits.size(), '0');
  while (d.places > 0 && d.digits.back() == '0') d.digits.pop_back(), --d.places;
  const std::size_t zeros = std::min(d.digits.find_first_not_of('0'), d.digits.size() - d.places - 1);
  d.digits.erase(0, zeros);
  if (d.zero()) d.negative = false;
  return d;
}

namespace {

enum Phase : std::uint8_t { begin, minus, zero, whole, point, fraction, exp_mark, exp_sign, exp_digits };

class Comparison : public Counter {
 public:
  Comparison(const Decimal& bound, Relation relation) : bound_(bound), relation_(relation) {
    const std::size_t nonzero = std::min(bound.digits.find_first_not_of('0'), bound.digits.size() - 1);
    significant_ = bound.digits.substr(nonzero);
    while (significant_.size() > 1 && significant_.back() == '0') significant_.pop_back();
    exponent_ = static_cast<long>(bound.whole().size()) - 1 - static_cast<long>(nonzero);
    exponent_digits_ = std::to_string(std::abs(exponent_));
    value_ = (bound.negative ? "-" : "") + significant_ + 'e' + std::to_string(exponent_);
    cap_ = std::max({bound.whole().size() + 1, bound.fraction().size(), significant_.size()}) + 1;
  }

  std::uint64_t start() const override { return pack({}); }
  std::string_view only_value() const override {
    return relation_ == Relation::equal ? std::string_view(value_) : std::string_view();
  }

  std::uint64_t step(std::uint64_t state, std::uint8_t b) const override {
    State s = unpack(state);
    const bool is_digit = b >= '0' && b <= '9';
    switch (s.phase) {
      case begin:
      case minus:
        if (b == '-' && s.phase == begin) {
          s.phase = minus;
          s.negative = true;
        } else if (is_digit) {
          s.phase = b == '0' ? zero : whole;
          whole_digit(s, b);
        } else {
          return kDead;
        }
        return pack(s);
      case zero:
      case whole:
        if (is_digit && s.phase == whole) return whole_digit(s, b), pack(s);
        if (b == '.') return end_whole(s), s.phase = point, pack(s);
        return (b | 32) == 'e' ? begin_exponent(s, true) : kDead;
      case point:
      case fraction:
        if (is_digit) return s.phase = fraction, fraction_digit(s, b), pack(s);
        return (b | 32) == 'e' && s.phase == fraction ? begin_exponent(s, false) : kDead;
      case exp_mark:
        if (b == '-' || b == '+') return s.exp_negative = b == '-', s.phase = exp_sign, pack(s);
        [[fallthrough]];
      case exp_sign:
      case exp_digits:
        if (!is_digit) return kDead;
        s.phase = exp_digits;
        if (!bound_.zero()) exponent_digit(s, b);
        return pack(s);
    }
    return kDead;
  }

  bool accepts(std::uint64_t state) const override {
    const State s = unpack(state);
    if (s.phase != zero && s.phase != whole && s.phase != fraction && s.phase != exp_digits) return false;
    const int c = compared(s);
    switch (relation_) {
      case Relation::less:
        return c < 0;
      case Relation::at_most:
        return c <= 0;
      case Relation::equal:
        return c == 0;
      case Relation::not_equal:
        return c != 0;
      case Relation::at_least:
        return c >= 0;
      case Relation::greater:
        break;
    }
    return c > 0;
  }

 private:
  enum Order : std::uint8_t { same, below, above };
  struct State {
    Phase phase = begin;
    bool negative = false, nonzero = false, exp_negative = false;
    bool scientific = false;  ///< the whole part is one digit that is not 0
    Order order = same;       ///< of |x| and |bound|, digit by digit from the point
    Order mantissa = same;    ///< of the digits, from the first that is not 0
    Order exp_order = same;
    std::uint32_t place = 0;      ///< digits read of the whole part, then of the fraction; not counted beyond cap_
    std::uint32_t exp_place = 0;  ///< digits read of the exponent, without leading zeros
  };
  static std::uint64_t pack(const State& s) {
    return std::uint64_t{s.phase} | (std::uint64_t{s.negative} << 4) | (std::uint64_t{s.nonzero} << 5) |
           (std::uint64_t{s.exp_negative} << 6) | (std::uint64_t{s.scientific} << 7) | (std::uint64_t{s.order} << 8) |
           (std::uint64_t{s.mantissa} << 10) | (std::uint64_t{s.exp_order} << 12) | (std::uint64_t{s.exp_place} << 16) |
           (std::uint64_t{s.place} << 32);
  }
  static State unpack(std::uint64_t v) {
    return {static_cast<Phase>(v & 15),
            ((v >> 4) & 1) != 0,
            ((v >> 5) & 1) != 0,
            ((v >> 6) & 1) != 0,
            ((v >> 7) & 1) != 0,
            static_cast<Order>((v >> 8) & 3),
            static_cast<Order>((v >> 10) & 3),
            static_cast<Order>((v >> 12) & 3),
            static_cast<std::uint32_t>(v >> 32),
            static_cast<std::uint32_t>((v >> 16) & 0xFFFF)};
  }
  static void compare_digit(Order& order, char x, std::string_view digits, std::size_t at) {
    const char d = at < digits.size() ? digits[at] : '0';
    if (order == same && x != d) order = x < d ? below : above;
  }
  void advance(State& s) const { s.place = std::min(s.place + 1, static_cast<std::uint32_t>(cap_)); }

  void whole_digit(State& s, std::uint8_t b) const {
    s.nonzero |= b != '0';
    s.scientific = s.place == 0 && b != '0';
    if (s.place < bound_.whole().size()) compare_digit(s.order, static_cast<char>(b), bound_.whole(), s.place);
    if (s.place == 0) compare_digit(s.mantissa, static_cast<char>(b), significant_, 0);
    advance(s);
  }
  Order whole_order(const State& s) const {
    if (s.place == bound_.whole().size()) return s.order;
    return s.place < bound_.whole().size() ? below : above;
  }
  void end_whole(State& s) const {
    s.order = whole_order(s);
    s.place = 0;
  }
  void fraction_digit(State& s, std::uint8_t b) const {
    s.nonzero |= b != '0';
    compare_digit(s.order, static_cast<char>(b), bound_.fraction(), s.place);
    compare_digit(s.mantissa, static_cast<char>(b), significant_, s.place + 1);
    advance(s);
  }
  std::uint64_t begin_exponent(State& s, bool after_whole) const {
    if (!bound_.zero() && !s.scientific) return kDead;
    // 2e5 has read one of the bound's digits, 2.5e5 two: the rest of them are not zero, so the mantissa is below.
    const std::size_t read = after_whole ? 1 : s.place + 1;
    if (s.mantissa == same && read < significant_.size()) s.mantissa = below;
    s.phase = exp_mark;
    s.place = 0;
    return pack(s);
  }
  void exponent_digit(State& s, std::uint8_t b) const {
    if (s.exp_place == 0 && b == '0') return;
    if (s.exp_place < exponent_digits_.size()) {
      compare_digit(s.exp_order, static_cast<char>(b), exponent_digits_, s.exp_place);
    }
    s.exp_place = std::min<std::uint32_t>(s.exp_place + 1, static_cast<std::uint32_t>(exponent_digits_.size()) + 1);
  }

  Order exponent_compared(const State& s) const {  // of x's exponent and the bound's
    const bool read_zero = s.exp_place == 0;
    if (read_zero) return exponent_ == 0 ? same : (exponent_ > 0 ? below : above);
    if (s.exp_negative != (exponent_ < 0)) return s.exp_negative ? below : above;
    if (exponent_ == 0) return above;
    Order size = s.exp_order;
    if (s.exp_place != exponent_digits_.size()) size = s.exp_place < exponent_digits_.size() ? below : above;
    if (size == same || !s.exp_negative) return size;
    return size == below ? above : below;
  }
  int compared(const State& s) const {  // of x and bound
    if (bound_.zero()) return s.nonzero ? (s.negative ? -1 : 1) : 0;
    if (!s.nonzero) return bound_.negative ? 1 : -1;
    if (s.negative != bound_.negative) return s.negative ? -1 : 1;
    Order order = s.order;
    if (s.phase == exp_digits) {
      order = exponent_compared(s);
      if (order == same) order = s.mantissa;
    } else if (s.phase != fraction) {
      order = whole_order(s);
      if (order == same && !bound_.fraction().empty()) order = below;
    } else if (order == same && s.place < bound_.fraction().size()) {
      order = below;
    }
    if (order == same) return 0;
    return (order == below) != s.negative ? -1 : 1;
  }

  Decimal bound_;
  Relation relation_;
  std::string significant_, exponent_digits_, value_;
  long exponent_ = 0;
  std::size_t cap_ = 0;
};

class Multiple : public Counter {
 public:
  Multiple(std::uint64_t unit, std::size_t places, bool wanted, bool whole)
      : unit_(unit), places_(places), wanted_(wanted), whole_(whole) {}
  std::uint64_t start() const override { return pack(begin, 0, 0, false); }

  std::uint64_t step(std::uint64_t state, std::uint8_t b) const override {
    const auto phase = static_cast<Phase>(state & 15);
    const std::uint64_t place = (state >> 8) & 0xFFFF, rest = state >> 24;
    const bool stray = ((state >> 4) & 1) != 0;
    if (b == '-') return phase == begin ? pack(minus, 0, 0, false) : kDead;
    if (b == '.') {
      const bool possible = !whole_ && (phase == zero || phase == whole) && (!wanted_ || can_end(rest, 0));
      return possible ? pack(point, rest, 0, false) : kDead;
    }
    if (b < '0' || b > '9' || phase == zero) return kDead;
    const std::uint64_t digit = static_cast<std::uint64_t>(b - '0');
    if (phase == begin || phase == minus) return pack(digit == 0 ? zero : whole, digit % unit_, 0, false);
    if (phase == whole) return pack(whole, (rest * 10 + digit) % unit_, 0, false);
    if (wanted_ && place >= places_ && digit != 0) return kDead;
    if (place >= places_) return pack(fraction, rest, place, stray || digit != 0);
    const std::uint64_t next = (rest * 10 + digit) % unit_;
    return wanted_ && !can_end(next, place + 1) ? kDead : pack(fraction, next, place + 1, stray);
  }
  // A whole part can always be made a multiple, or none, by more digits; a fraction's last places are looked at above.
  bool always_live() const override { return !whole_ || wanted_ || unit_ > 1; }

  bool accepts(std::uint64_t state) const override {
    const auto phase = static_cast<Phase>(state & 15);
    if (phase != zero && phase != whole && phase != fraction) return false;
    std::uint64_t rest = state >> 24;
    for (std::uint64_t place = (state >> 8) & 0xFFFF; place < places_; ++place) rest = rest * 10 % unit_;
    const bool is_multiple = rest == 0 && ((state >> 4) & 1) == 0;
    return is_multiple == wanted_;
  }

 private:
  // The remainder of the digits so far; `stray`: a digit beyond the unit's places is not 0.
  static std::uint64_t pack(Phase phase, std::uint64_t rest, std::uint64_t place, bool stray) {
    return std::uint64_t{phase} | (std::uint64_t{stray} << 4) | (place << 8) | (rest << 24);
  }
  // The places that are left can bring the remainder to zero.
  bool can_end(std::uint64_t rest, std::uint64_t place) const {
    std::uint64_t reach = 1;
    for (; place < places_; ++place) {
      rest = rest * 10 % unit_;
      if (reach < unit_) reach *= 10;
    }
    return (unit_ - rest) % unit_ < reach;
  }

  std::uint64_t unit_;
  std::size_t places_;
  bool wanted_, whole_;
};

}  // namespace

std::shared_ptr<const Counter> compare_number(const Decimal& bound, Relation relation) {
  return std::make_shared<Comparison>(bound, relation);
}

std::shared_ptr<const Counter> multiple_of(const Decimal& unit, bool wanted, bool whole) {
  constexpr std::size_t kMostDigits = 9;
  const std::size_t first = unit.digits.find_first_not_of('0');
  if (first == std::string::npos || unit.digits.size() - first > kMostDigits) return nullptr;
  return std::make_shared<Multiple>(std::stoull(unit.digits.substr(first)), unit.places, wanted, whole);
}

}  // namespace frugal::grammar
