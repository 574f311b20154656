// SPDX-License-Identifier: Apache-2.0
#include "fs/reader.hpp"

#include "fs/page.hpp"

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

/// What is missing between held bytes is asked for in whole pages, as kernels ask: for other
/// offsets some releases of Linux' server answer with bytes of other places (6.1 for files with
/// holes on tmpfs; 5.19 to 6.2 where a file system keeps larger folios).
void Reader::plan_gap(std::uint64_t offset, std::uint64_t end) {
    const std::uint64_t limit = deps_.client.fs_info().read_max;
    while (offset < end) {
        // Whole pages of it are no more than one READ.
        const auto step = std::min(limit >= kPage ? limit - offset % kPage : limit, end - offset);
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
    const std::uint64_t limit = deps_.client.fs_info().read_max;
    const auto end = parts_[index].offset + parts_[index].size;
    bool by_page = limit >= kPage;
    while (parts_[index].got < parts_[index].size) {
        const auto at = parts_[index].offset + parts_[index].got;
        const auto from = by_page ? page_of(at) : at;
        const auto until = by_page ? page_of(end + kPage - 1) : end;
        const auto want = static_cast<std::uint32_t>(std::min(until - from, limit));
        auto reply = co_await deps_.client.read(context_, open_, from, want);
        if (!reply) {
            parts_[index].error = reply.error();
            break;
        }
        if (reply->attr) deps_.learn(*reply->attr);
        bool ended = reply->end == nfs::ReadReply::End::yes;
        const auto known = std::min<std::uint64_t>(at - from, reply->data.size());
        const auto fresh = std::min<std::uint64_t>(reply->data.size() - known, end - at);
        if (!ended && fresh == 0 && known > 0) {
            by_page = false;  // a server that gives less than a page
            continue;
        }
        if (!ended && fresh == 0) {
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
        parts_[index].got += fresh;
        if (fresh > 0) parts_[index].pieces.push_back(reply->data.sub(known, fresh));
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
