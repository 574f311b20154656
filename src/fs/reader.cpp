// SPDX-License-Identifier: Apache-2.0
#include "fs/reader.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

namespace uidnfs::fs {
namespace {

/// Zeros that are never given back.
class Zeros final : public core::SharedMemory {
public:
    static constexpr std::size_t kBytes = 64u << 10;
    static core::Slice slice(std::size_t length) {
        static Zeros zeros;
        static const std::array<std::byte, kBytes> bytes{};
        return {zeros, bytes.data(), length};
    }

private:
    Zeros() { retain(); }
    void recycle() noexcept override {}
};

}  // namespace

Reader::Reader(Deps deps, nfs::CallContext context, nfs::OpenRef open)
    : deps_(std::move(deps)), context_(std::move(context)), open_(open), finished_(deps_.reactor) {}

void Reader::plan_gap(std::uint64_t offset, std::uint64_t end) {
    const std::uint64_t limit = deps_.client.fs_info().read_max;
    while (offset < end) {
        const auto step = std::min(limit, end - offset);
        const bool is_behind = server_end_ && offset >= *server_end_;
        const auto from = is_behind ? Part::From::here : Part::From::server;
        parts_.push_back({offset, static_cast<std::uint32_t>(step), {}, 0, std::nullopt, from});
        if (!is_behind) ++waiting_;
        offset += step;
    }
}

void Reader::plan(
    std::uint64_t offset, std::uint64_t end, const std::vector<ExtentMap::Piece>& held
) {
    for (const auto& piece : held) {
        plan_gap(offset, piece.offset);
        const auto size = static_cast<std::uint32_t>(piece.data.size());
        parts_.push_back({piece.offset, size, {piece.data}, size, std::nullopt, Part::From::here});
        offset = piece.offset + size;
    }
    plan_gap(offset, end);
}

core::Task<void> Reader::fetch(std::size_t index) {
    // parts_ does not grow any more, but a reference across co_await would say less than the index.
    while (parts_[index].got < parts_[index].size) {
        const auto at = parts_[index].offset + parts_[index].got;
        const auto want = parts_[index].size - static_cast<std::uint32_t>(parts_[index].got);
        auto reply = co_await deps_.client.read(context_, open_, at, want);
        if (!reply) {
            parts_[index].error = reply.error();
            break;
        }
        if (reply->attr) deps_.learn(*reply->attr);
        bool ended = reply->end == nfs::ReadReply::End::yes;
        if (!ended && reply->data.empty()) {
            // Neither bytes nor the end: to take it for the end would cut files short in silence.
            auto size = reply->attr;
            if (!size) {
                const auto fetched = co_await deps_.client.getattr(context_, open_.handle);
                if (fetched) size = *fetched;
                if (size) deps_.learn(*size);
            }
            ended = size && size->size <= at;
            if (!ended) {
                parts_[index].error = core::Error(EIO);
                break;
            }
        }
        parts_[index].got += reply->data.size();
        if (!reply->data.empty()) parts_[index].pieces.push_back(std::move(reply->data));
        if (ended) break;
    }
    if (--waiting_ == 0) finished_.notify_all();
}

core::Result<ReadData> Reader::assemble(std::uint64_t local_end) {
    ReadData data;
    for (auto& part : parts_) {
        // Also where something came before it: the kernel takes a short answer for the end of the
        // file and fills its pages with zeros. It asks for each page by itself after an error.
        if (part.error) return *part.error;
        for (auto& piece : part.pieces) data.pieces.push_back(std::move(piece));
        const auto end = std::min(part.offset + part.size, local_end);
        auto at = part.offset + part.got;
        if (at < part.offset + part.size && at >= end) return data;  // end of file
        for (; at < end; at += Zeros::kBytes) {
            data.pieces.push_back(Zeros::slice(std::min<std::uint64_t>(Zeros::kBytes, end - at)));
        }
        if (part.got < part.size && end < part.offset + part.size) return data;
    }
    return data;
}

core::Task<core::Result<ReadData>> Reader::run(
    std::uint64_t offset,
    std::size_t size,
    std::vector<ExtentMap::Piece> held,
    std::uint64_t local_end,
    std::optional<std::uint64_t> server_end
) {
    server_end_ = server_end;
    plan(offset, offset + size, held);
    if (parts_.size() == 1 && waiting_ == 1) {
        co_await fetch(0);
    } else {
        for (std::size_t i = 0; i < parts_.size(); ++i) {
            if (parts_[i].from == Part::From::server) core::spawn(fetch(i));
        }
        while (waiting_ > 0) co_await finished_.wait();
    }
    co_return assemble(local_end);
}

}  // namespace uidnfs::fs
