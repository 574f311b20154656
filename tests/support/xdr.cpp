// SPDX-License-Identifier: Apache-2.0
#include "support/xdr.hpp"

namespace uidnfs::test {
namespace {

std::size_t padding(std::size_t length) { return (4 - length % 4) % 4; }

}  // namespace

void XdrWriter::u32(std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        bytes_.push_back(static_cast<std::byte>(value >> shift & 0xff));
    }
}

void XdrWriter::u64(std::uint64_t value) {
    u32(static_cast<std::uint32_t>(value >> 32));
    u32(static_cast<std::uint32_t>(value));
}

void XdrWriter::opaque(std::span<const std::byte> data) {
    u32(static_cast<std::uint32_t>(data.size()));
    fixed(data);
}

void XdrWriter::text(std::string_view text) {
    opaque(std::as_bytes(std::span(text.data(), text.size())));
}

void XdrWriter::fixed(std::span<const std::byte> data) {
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    bytes_.resize(bytes_.size() + padding(data.size()));
}

std::span<const std::byte> XdrReader::take(std::size_t length) {
    if (length > data_.size()) throw XdrError("the arguments end too early");
    const auto out = data_.first(length);
    data_ = data_.subspan(length);
    return out;
}

std::uint32_t XdrReader::u32() {
    std::uint32_t value = 0;
    for (const auto byte : take(4)) value = value << 8 | std::to_integer<std::uint32_t>(byte);
    return value;
}

std::uint64_t XdrReader::u64() {
    const std::uint64_t high = u32();
    return high << 32 | u32();
}

Bytes XdrReader::opaque(std::uint32_t most) {
    const auto length = u32();
    if (length > most) throw XdrError("longer than the protocol allows");
    return fixed(length);
}

std::string XdrReader::text(std::uint32_t most) {
    const auto data = opaque(most);
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}

Bytes XdrReader::fixed(std::size_t length) {
    const auto data = take(length);
    Bytes out(data.begin(), data.end());
    for (const auto byte : take(padding(length))) {
        if (byte != std::byte{0}) throw XdrError("padding that is not zero");
    }
    return out;
}

}  // namespace uidnfs::test
