// SPDX-License-Identifier: Apache-2.0
// XDR (RFC 4506) for the test server, small and slow on purpose: what the tests say about the wire must
// not come from the codec under test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::test {

using Bytes = std::vector<std::byte>;

class XdrWriter {
public:
    void u32(std::uint32_t value);
    void u64(std::uint64_t value);
    /// opaque<> and string<>: length, bytes, padding.
    void opaque(std::span<const std::byte> data);
    void text(std::string_view text);
    /// opaque[n].
    void fixed(std::span<const std::byte> data);

    const Bytes& bytes() const noexcept { return bytes_; }
    Bytes take() noexcept { return std::move(bytes_); }

private:
    Bytes bytes_;
};

/// Thrown for arguments that end too early or are longer than allowed.
struct XdrError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class XdrReader {
public:
    explicit XdrReader(std::span<const std::byte> data) noexcept : data_(data) {}

    std::uint32_t u32();
    std::uint64_t u64();
    Bytes opaque(std::uint32_t most);
    std::string text(std::uint32_t most);
    Bytes fixed(std::size_t length);
    std::size_t left() const noexcept { return data_.size(); }
    std::span<const std::byte> rest() const noexcept { return data_; }

private:
    std::span<const std::byte> take(std::size_t length);

    std::span<const std::byte> data_;
};

}  // namespace uidnfs::test
