// SPDX-License-Identifier: Apache-2.0
// PipedPayload: payload of a test that is in a pipe, as large READ replies are. Outlives its slices.
#pragma once

#include "core/piped.hpp"
#include "support/heap_bytes.hpp"

#include <unistd.h>

#include <cstddef>
#include <utility>
#include <vector>

namespace uidnfs::test {

class PipedPayload {
public:
    /// In memory where no pipe is left, or nothing to be put into one.
    core::Slice slice(std::vector<std::byte> bytes) {
        if (bytes.empty() || bytes.size() > core::Pipes::kBytes) {
            return HeapBytes::slice(std::move(bytes));
        }
        auto pipe = pipes_.take();
        if (!pipe) return HeapBytes::slice(std::move(bytes));
        const auto put = ::write(pipe->in.get(), bytes.data(), bytes.size());
        auto& block = blocks_.take();
        auto* const memory = new core::PipedMemory(
            block, block.data(), static_cast<std::size_t>(put), std::move(*pipe), pipes_
        );
        return {*memory, block.data(), static_cast<std::size_t>(put)};
    }
    /// How many are still in a pipe.
    std::size_t in_pipes() {
        std::vector<core::Pipe> others;
        while (auto pipe = pipes_.take()) others.push_back(std::move(*pipe));
        const auto taken = core::Pipes::kMost - others.size();
        for (auto& pipe : others) pipes_.give_back(std::move(pipe), 0);
        return taken;
    }

private:
    core::BufferPool blocks_{core::Pipes::kBytes, 4};
    core::Pipes pipes_;
};

}  // namespace uidnfs::test
