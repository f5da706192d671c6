// The writer of Anthropic's answers.
#pragma once

#include <memory>

#include "server/dialect.hpp"

namespace frugal::server {

std::unique_ptr<Writer> anthropic_writer(const Job& job, AnswerSplitter splitter);

}  // namespace frugal::server
