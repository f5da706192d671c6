// The drafters that come with frugal. All guess from text that is at hand; none runs a model.
#pragma once

#include <frugal/config.hpp>
#include <frugal/draft/drafter.hpp>

#include <memory>

namespace frugal {

/// Follows Request::draft for as long as the answer does, and finds its way back after a difference. The engine puts
/// one before its other drafters where a request brings a draft.
FRUGAL_API std::shared_ptr<Drafter> text_drafter();

}  // namespace frugal
