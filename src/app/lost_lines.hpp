// SPDX-License-Identifier: Apache-2.0
// LostLines: what was not written, named in one message: as many lines as fit beside what else is
// in it. Paths are long; a message that does not fit is not sent at all.
#pragma once

#include "app/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>

namespace uidnfs::app {

class LostLines {
public:
    static constexpr std::size_t kMost = 200;
    /// As they are encoded. Half of a message is for what keepers add, and for connections.
    static constexpr std::size_t kMostBytes = Message::kMaxBytes / 2;

    explicit LostLines(Message& message) noexcept : message_(message) {}

    /// From the first that does not fit on they are only counted.
    void add(std::string line) {
        const auto escaped =
            std::count_if(line.begin(), line.end(), [](char c) { return c == '\\' || c == '\n'; });
        bytes_ += kOverhead + line.size() + static_cast<std::size_t>(escaped);
        if (omitted_ > 0 || told_ == kMost || bytes_ > kMostBytes) {
            ++omitted_;
            return;
        }
        ++told_;
        message_.add("lost", std::move(line));
    }
    /// `where`: the rest is, "see the log". How many were told.
    std::size_t end(const char* where) {
        if (omitted_ > 0) message_.add("lost", fmt::format("and {} more, {}", omitted_, where));
        return told_;
    }

private:
    static constexpr std::size_t kOverhead = sizeof "lost=";

    Message& message_;
    std::size_t told_ = 0;
    std::size_t omitted_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace uidnfs::app
