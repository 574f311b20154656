// SPDX-License-Identifier: Apache-2.0
// The record layer: whatever a server sends, in whatever pieces. Input: a byte that says how large
// the pieces are, then the stream. Of what goes to a pipe each byte stands for up to 256 KiB.
#include "fuzz/fuzz.hpp"
#include "nfs/rpc/record_reader.hpp"
#include "nfs/rpc/reply.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace {

using namespace uidnfs;
using namespace uidnfs::nfs::rpc;

/// So many bytes, or as many as there is room for.
std::size_t put_into_pipe(RecordReader& reader, std::size_t bytes) {
    static const std::vector<char> filler(256u << 10);
    const auto count = std::min(reader.missing(), bytes);
    const auto put = ::write(reader.pipe()->in.get(), filler.data(), count);
    if (put <= 0) {
        reader.leave_pipe();
        return 0;
    }
    reader.piped(static_cast<std::size_t>(put));
    return static_cast<std::size_t>(put);
}

std::size_t put_into_space(std::span<const iovec> space, std::span<const std::uint8_t> bytes) {
    fuzz::require(!space.empty() && space[0].iov_len > 0, "there is room for more");
    std::size_t put = 0;
    for (const auto& part : space) {
        const auto count = std::min(bytes.size() - put, part.iov_len);
        std::memcpy(part.iov_base, bytes.data() + put, count);
        put += count;
    }
    return put;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using fuzz::require;
    if (size == 0) return 0;
    const auto pieces = static_cast<std::size_t>(data[0]) + 1;
    const auto expect = data[0] % 2 ? RecordReader::Expect::bulk : RecordReader::Expect::small;
    std::size_t at = 1;
    std::size_t in = 0;
    std::size_t out = 0;
    ReceiveBlocks blocks;
    RecordReader reader(blocks);
    while (at < size && reader.fault() == RecordReader::Fault::none) {
        if (reader.pipe()) {
            in += put_into_pipe(reader, (data[at++] + 1u) << 10);
        } else {
            const auto put =
                put_into_space(reader.space(expect), {data + at, std::min(pieces, size - at)});
            at += put;
            in += put;
            reader.received(put);
        }
        while (const auto record = reader.next()) {
            const auto head = core::beginning(*record);
            require(head.size() == record->size() || head.size() >= 128, "the head is here");
            (void)reply_xid(head);
            require(record->bytes().size() <= kMaxRecordBytes, "a record is not too long");
            out += record->bytes().size();
            if (!reply_xid(record->bytes())) continue;
            if (const auto offset = results_offset(record->bytes())) {
                require(*offset <= record->bytes().size(), "results begin in the record");
            }
        }
    }
    require(out <= in, "no more comes out than went in");
    return 0;
}
