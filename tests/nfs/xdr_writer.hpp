// SPDX-License-Identifier: Apache-2.0
// XdrWriter: builds XDR for tests, byte by byte and independently of the code under test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace uidnfs::test {

using ByteVector = std::vector<std::byte>;

struct WireTime {
    std::uint32_t seconds = 100;
    std::uint32_t nanoseconds = 1;
};

class XdrWriter {
public:
    XdrWriter& u32(std::uint32_t value) {
        for (int shift = 24; shift >= 0; shift -= 8) {
            bytes_.push_back(static_cast<std::byte>(value >> shift & 0xff));
        }
        return *this;
    }
    XdrWriter& u64(std::uint64_t value) {
        return u32(static_cast<std::uint32_t>(value >> 32)).u32(static_cast<std::uint32_t>(value));
    }
    /// Bytes with padding, without a length.
    XdrWriter& fixed(std::string_view text) {
        for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
        while (bytes_.size() % 4 != 0) bytes_.push_back(std::byte{0});
        return *this;
    }
    XdrWriter& opaque(std::string_view text) {
        return u32(static_cast<std::uint32_t>(text.size())).fixed(text);
    }
    XdrWriter& append(const ByteVector& other) {
        bytes_.insert(bytes_.end(), other.begin(), other.end());
        return *this;
    }
    const ByteVector& bytes() const { return bytes_; }

    // What NFS replies are made of.
    /// fattr3 of type `type` with the given size and fileid, owned by 1001:1001, mode 0644.
    XdrWriter& attr(
        std::uint32_t type, std::uint64_t size, std::uint64_t fileid, WireTime atime = {}
    ) {
        return u32(type)
            .u32(0644)
            .u32(1)
            .u32(1001)
            .u32(1001)
            .u64(size)
            .u64(size)
            .u32(7)
            .u32(9)
            .u64(0x1122334455667788)
            .u64(fileid)
            .u32(atime.seconds)
            .u32(atime.nanoseconds)
            .u32(200)
            .u32(2)
            .u32(300)
            .u32(3);
    }
    XdrWriter& post_op_attr(
        std::uint32_t type, std::uint64_t size, std::uint64_t fileid, WireTime atime = {}
    ) {
        return u32(1).attr(type, size, fileid, atime);
    }
    XdrWriter& no_attr() { return u32(0); }
    XdrWriter& empty_wcc() { return u32(0).u32(0); }

private:
    ByteVector bytes_;
};

inline constexpr std::uint32_t kRegular = 1;
inline constexpr std::uint32_t kDirectory = 2;
inline constexpr std::uint32_t kSymlink = 5;

}  // namespace uidnfs::test
