// SPDX-License-Identifier: Apache-2.0
// XdrReader: reads XDR (RFC 4506) from bytes that a stranger sent. It never looks beyond their end:
// after the first lie every read gives zero and ok() is false, so that a decoder asks once, at its
// end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace uidnfs::nfs {

class XdrReader {
public:
    explicit XdrReader(std::span<const std::byte> bytes) noexcept
        : at_(bytes.data()), left_(bytes.size()) {}

    std::uint32_t u32() noexcept {
        const auto* p = take(4);
        if (!p) return 0;
        std::uint32_t value;
        std::memcpy(&value, p, sizeof value);
        return __builtin_bswap32(value);
    }
    std::uint64_t u64() noexcept {
        const auto* p = take(8);
        if (!p) return 0;
        std::uint64_t value;
        std::memcpy(&value, p, sizeof value);
        return __builtin_bswap64(value);
    }
    /// Anything but 0 and 1 is a lie (RFC 4506 4.4).
    bool boolean() noexcept {
        const auto value = u32();
        if (value > 1) fail();
        return value == 1;
    }
    /// opaque<max>: the bytes without length and padding; longer than `max` is a lie.
    std::span<const std::byte> opaque(std::uint32_t max) noexcept {
        const auto size = u32();
        if (size > max) {
            fail();
            return {};
        }
        return fixed(size);
    }
    /// opaque[size].
    std::span<const std::byte> fixed(std::uint32_t size) noexcept {
        const auto* p = take((static_cast<std::size_t>(size) + 3) & ~std::size_t{3});
        if (!p) return {};
        return {p, size};
    }

    void fail() noexcept {
        lied_ = true;
        left_ = 0;
    }
    bool ok() const noexcept { return !lied_; }
    /// The bytes ended where more were to come, and nothing before that was a lie.
    bool is_cut() const noexcept { return cut_; }
    std::size_t remaining() const noexcept { return left_; }

private:
    const std::byte* take(std::size_t size) noexcept {
        if (size > left_) {
            cut_ = cut_ || !lied_;
            fail();
            return nullptr;
        }
        const auto* p = at_;
        at_ += size;
        left_ -= size;
        return p;
    }

    const std::byte* at_;
    std::size_t left_;
    bool lied_ = false;
    bool cut_ = false;
};

}  // namespace uidnfs::nfs
