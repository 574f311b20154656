// SPDX-License-Identifier: Apache-2.0
#include "support/small_services.hpp"

#include <fmt/format.h>

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kMostPath = 1024;
constexpr std::uint32_t kMountNoEntry = 2;
constexpr std::uint32_t kTcp = 6;

}  // namespace

Work MountService::prepare(const RpcCall& call) {
    enum : std::uint32_t { null = 0, mnt = 1, dump = 2, umnt = 3, umntall = 4, list = 5 };
    Work work;
    if (call.version != version) {
        work.accept = Accept::program_mismatch;
        return work;
    }
    callers_.push_back(call.who);
    XdrReader in(call.arguments);
    switch (call.procedure) {
        case null:
        case umntall: work.execute = [](XdrWriter&) {}; break;
        case dump: work.execute = [](XdrWriter& out) { out.u32(0); }; break;
        case mnt: {
            const auto path = in.text(kMostPath);
            calls_.push_back("MNT " + path);
            const auto found = exports.find(path);
            const auto entry = found == exports.end() ? Export{{}, kMountNoEntry, {}, {}} : found->second;
            work.execute = [entry](XdrWriter& out) {
                out.u32(entry.status);
                if (entry.status != 0) return;
                out.opaque(entry.root.bytes());
                out.u32(static_cast<std::uint32_t>(entry.flavors.size()));
                for (const auto flavor : entry.flavors) out.u32(flavor);
            };
            break;
        }
        case umnt:
            calls_.push_back("UMNT " + in.text(kMostPath));
            work.execute = [](XdrWriter&) {};
            break;
        case list:
            calls_.push_back("EXPORT");
            work.execute = [shown = exports](XdrWriter& out) {
                for (const auto& [path, entry] : shown) {
                    out.u32(1);
                    out.text(path);
                    for (const auto& group : entry.groups) {
                        out.u32(1);
                        out.text(group);
                    }
                    out.u32(0);
                }
                out.u32(0);
            };
            break;
        default: work.accept = Accept::procedure_unavailable; break;
    }
    return work;
}

Work PortmapService::prepare(const RpcCall& call) {
    constexpr std::uint32_t kGetPort = 3;  // GETADDR in version 3
    Work work;
    if (call.version != 2 && (call.version != 3 || version3 == Version3::mismatch)) {
        work.accept = Accept::program_mismatch;
        return work;
    }
    if (call.procedure == 0) {
        work.execute = [](XdrWriter&) {};
        return work;
    }
    if (call.procedure != kGetPort) {
        work.accept = Accept::procedure_unavailable;
        return work;
    }
    XdrReader in(call.arguments);
    const auto program = in.u32();
    in.u32();  // version
    const auto registered = ports.find(program);
    std::uint16_t port = registered == ports.end() ? 0 : registered->second;
    if (call.version == 2) {
        if (in.u32() != kTcp) port = 0;
        work.execute = [port](XdrWriter& out) { out.u32(port); };
        return work;
    }
    const auto netid = in.text(kMostPath);
    std::string address;
    if (port != 0 && netid == "tcp") address = fmt::format("127.0.0.1.{}.{}", port >> 8, port & 0xff);
    if (port != 0 && netid == "tcp6") address = fmt::format("::1.{}.{}", port >> 8, port & 0xff);
    work.execute = [address](XdrWriter& out) { out.text(address); };
    return work;
}

}  // namespace uidnfs::test
