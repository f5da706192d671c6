// Names of frugal's types without their definitions: for a host's own headers that only pass them on.
#pragma once

namespace frugal {

// core
class Clock;
class Constraint;
class ConstraintSource;
class Error;
struct Answer;
struct Delta;
struct Finish;
struct Ledger;
struct Request;
struct Timing;
struct Usage;

// text, model
class ChatTemplate;
class Model;
class Tokenizer;

// policies
class CascadePolicy;
class OutputPolicy;
class PrefixCachePolicy;
class SpeculationPolicy;

// backends
class Backend;
struct Batch;

// endpoints
class Call;
class Cascade;
class Endpoint;
class Engine;
class Observer;
class Sink;
class Stream;
struct EngineOptions;

}  // namespace frugal
