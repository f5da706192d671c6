// The front door: all that a service needs to serve a local model. The backends' own headers (frugal/cpu/backend.hpp,
// frugal/torch/backend.hpp) belong to their components and are included beside it. Rooms may be included alone.
#pragma once

#include <frugal/draft/drafters.hpp>
#include <frugal/endpoint/budgeted.hpp>
#include <frugal/endpoint/cascade.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/endpoint/metered.hpp>
#include <frugal/endpoint/split.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/meter/budget.hpp>
#include <frugal/meter/meter.hpp>
#include <frugal/model/model.hpp>
#include <frugal/model/prompt.hpp>
#include <frugal/policy/cascade.hpp>
#include <frugal/policy/output.hpp>
#include <frugal/policy/prefix_cache.hpp>
#include <frugal/policy/speculation.hpp>
#include <frugal/version.hpp>
