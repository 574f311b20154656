// SPDX-License-Identifier: Apache-2.0
// The record layer: whatever a server sends, in whatever pieces. Input: a byte that says how large
// the pieces are, then the stream.
#include "fuzz/fuzz.hpp"
#include "nfs/rpc/record_reader.hpp"
#include "nfs/rpc/reply.hpp"

#include <algorithm>
#include <cstring>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace uidnfs;
    using namespace uidnfs::nfs::rpc;
    using fuzz::require;
    if (size == 0) return 0;
    const auto pieces = static_cast<std::size_t>(data[0]) + 1;
    const auto expect = data[0] % 2 ? RecordReader::Expect::bulk : RecordReader::Expect::small;
    std::size_t at = 1;
    std::size_t out = 0;
    ReceiveBlocks blocks;
    RecordReader reader(blocks);
    while (at < size && reader.fault() == RecordReader::Fault::none) {
        const auto space = reader.space(expect);
        require(!space.empty() && space[0].iov_len > 0, "there is room for more");
        auto left = std::min(pieces, size - at);
        std::size_t put = 0;
        for (const auto& part : space) {
            const auto count = std::min(left, part.iov_len);
            std::memcpy(part.iov_base, data + at + put, count);
            put += count;
            left -= count;
        }
        at += put;
        reader.received(put);
        while (const auto record = reader.next()) {
            require(record->bytes().size() <= kMaxRecordBytes, "a record is not too long");
            out += record->bytes().size();
            if (!reply_xid(record->bytes())) continue;
            if (const auto offset = results_offset(record->bytes())) {
                require(*offset <= record->bytes().size(), "results begin in the record");
            }
        }
    }
    require(out <= size, "no more comes out than went in");
    return 0;
}
