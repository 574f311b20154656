// SPDX-License-Identifier: Apache-2.0
// Reader: one read of an application, made of READs that are in flight together and of bytes that
// are not yet on the server. Lives for one read; reactor's thread only.
#pragma once

#include "core/event.hpp"
#include "fs/extent_map.hpp"
#include "fs/types.hpp"
#include "nfs/client.hpp"

#include <functional>
#include <optional>
#include <vector>

namespace uidnfs::fs {

class Reader {
public:
    /// More pieces than this in one read are written first: a reply has at most IOV_MAX parts.
    static constexpr std::size_t kMaxPieces = 256;

    struct Deps {
        core::Reactor& reactor;
        nfs::Client& client;
        /// Attributes that came with a READ.
        std::function<void(const nfs::Attr&)> learn;
    };

    Reader(Deps deps, nfs::CallContext context, nfs::OpenRef open);
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    /// `held`: what is here of the range, in order. `local_end`: where unsent data end, in or behind
    /// the range; what lies between the server's end of file and there reads as zeros.
    /// `server_end`: that end of file, if it is known; nothing is asked for behind it.
    core::Task<core::Result<ReadData>> run(
        std::uint64_t offset,
        std::size_t size,
        std::vector<ExtentMap::Piece> held,
        std::uint64_t local_end,
        std::optional<std::uint64_t> server_end
    );

private:
    /// A stretch of the range: held bytes, or one READ (asked again while it is short).
    struct Part {
        std::uint64_t offset = 0;
        std::uint32_t size = 0;
        std::vector<core::Slice> pieces;
        std::size_t got = 0;
        std::optional<core::Error> error;
        enum class From : std::uint8_t { here, server } from = From::server;
    };

    void plan(std::uint64_t offset, std::uint64_t end, const std::vector<ExtentMap::Piece>& held);
    void plan_gap(std::uint64_t offset, std::uint64_t end);
    core::Task<void> fetch(std::size_t index);
    core::Result<ReadData> assemble(std::uint64_t local_end);

    Deps deps_;
    nfs::CallContext context_;
    nfs::OpenRef open_;
    core::Event finished_;
    std::size_t waiting_ = 0;
    std::optional<std::uint64_t> server_end_;
    std::vector<Part> parts_;
};

}  // namespace uidnfs::fs
