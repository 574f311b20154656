// SPDX-License-Identifier: Apache-2.0
// HeapBytes: payload of a test behind a core::Slice; frees itself with its last slice. One thread.
#pragma once

#include "core/buffer.hpp"

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace uidnfs::test {

class HeapBytes final : public core::SharedMemory {
public:
    static core::Slice slice(std::vector<std::byte> bytes) {
        auto* owner = new HeapBytes(std::move(bytes));
        return core::Slice(*owner, owner->bytes_.data(), owner->bytes_.size());
    }
    static core::Slice slice(std::string_view text) {
        const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
        return slice(std::vector<std::byte>(bytes.begin(), bytes.end()));
    }

private:
    explicit HeapBytes(std::vector<std::byte> bytes) noexcept : bytes_(std::move(bytes)) {}
    void recycle() noexcept override { delete this; }

    std::vector<std::byte> bytes_;
};

}  // namespace uidnfs::test
