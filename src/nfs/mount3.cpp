// SPDX-License-Identifier: Apache-2.0
#include "nfs/mount3.hpp"

#include "nfs/rpc/ask.hpp"
#include "nfs/rpc/status.hpp"
#include "nfs/v3/decode.hpp"
#include "nfs/xdr_reader.hpp"

#include <fmt/format.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-zdr.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace uidnfs::nfs::mount3 {
namespace {

constexpr std::uint32_t kAuthNone = 0;
constexpr std::uint32_t kAuthSys = 1;
constexpr std::uint32_t kMaxFlavours = 64;

std::vector<std::byte> encode_path(const std::string& path) {
    std::vector<std::byte> out(4 + (path.size() + 3) / 4 * 4);
    ZDR zdr{};
    zdrmem_create(
        &zdr,
        reinterpret_cast<char*>(out.data()),
        static_cast<std::uint32_t>(out.size()),
        ZDR_ENCODE
    );
    auto* text = const_cast<char*>(path.c_str());
    if (!zdr_dirpath(&zdr, &text)) std::abort();
    zdr_destroy(&zdr);
    return out;
}

int to_errno(Status status) noexcept {
    switch (status) {
        case Status::ok: return 0;
        case Status::perm: return EPERM;
        case Status::noent: return ENOENT;
        case Status::io: return EIO;
        case Status::acces: return EACCES;
        case Status::notdir: return ENOTDIR;
        case Status::inval: return EINVAL;
        case Status::nametoolong: return ENAMETOOLONG;
        case Status::notsupp: return ENOTSUP;
        case Status::serverfault: return EIO;
    }
    return EIO;
}

bool offers(const Export& answer, std::uint32_t flavour) noexcept {
    const auto& flavours = answer.flavours;
    return std::find(flavours.begin(), flavours.end(), flavour) != flavours.end();
}

bool is_noent(const core::Error& error) noexcept {
    return error.source() == core::ErrorSource::mount &&
           error.detail() == static_cast<std::uint32_t>(Status::noent);
}

/// MNT or UMNT, which take a path.
core::Task<core::Result<core::Slice>> ask_with_path(
    rpc::Transport& transport,
    const mapper::Credential& credential,
    std::uint32_t procedure,
    std::string path
) {
    const auto arguments = encode_path(path);
    auto asking = rpc::ask(transport, {kProgram, kVersion, procedure}, credential, arguments);
    co_return co_await asking;
}

core::Task<core::Result<Export>> mount_as(
    rpc::Transport& transport, const mapper::Credential& credential, std::string path
) {
    auto asking = ask_with_path(transport, credential, MOUNT3_MNT, path);
    const auto results = co_await asking;
    if (!results) co_return results.error();
    auto answer = decode_mount(results->bytes());
    if (answer) answer->path = std::move(path);
    co_return answer;
}

}  // namespace

core::Error to_error(std::uint32_t wire) noexcept {
    return core::Error(to_errno(static_cast<Status>(wire)), core::ErrorSource::mount, wire);
}

bool allows_sys(const Export& answer) noexcept {
    return answer.flavours.empty() || offers(answer, kAuthSys) || offers(answer, kAuthNone);
}

bool ignores_identity(const Export& answer) noexcept {
    return offers(answer, kAuthNone) && !offers(answer, kAuthSys);
}

std::string describe_flavours(const std::vector<std::uint32_t>& flavours) {
    std::string out;
    for (const auto flavour : flavours) {
        if (!out.empty()) out += ", ";
        switch (flavour) {
            case 0: out += "none"; break;
            case kAuthSys: out += "sys"; break;
            case 390003: out += "krb5"; break;
            case 390004: out += "krb5i"; break;
            case 390005: out += "krb5p"; break;
            default: out += fmt::format("flavour {}", flavour);
        }
    }
    return out;
}

core::Result<Export> decode_mount(std::span<const std::byte> results) {
    XdrReader in(results);
    const auto status = in.u32();
    if (!in.ok()) return rpc::protocol_error();
    if (status != static_cast<std::uint32_t>(Status::ok)) return to_error(status);
    Export answer;
    answer.root = v3::read_handle(in);
    const auto count = in.u32();
    if (!in.ok() || count > kMaxFlavours) return rpc::protocol_error();
    for (std::uint32_t i = 0; i < count; ++i) answer.flavours.push_back(in.u32());
    if (!in.ok()) return rpc::protocol_error();
    return answer;
}

core::Task<core::Result<Export>> mount(
    rpc::Transport& transport, const mapper::Credential& credential, std::string path
) {
    auto asking = mount_as(transport, credential, path);
    auto answer = co_await asking;
    const bool is_known = answer || !is_noent(answer.error());
    if (is_known || path.ends_with('/') || path.size() == kMaxPathBytes) co_return answer;
    auto asking_again = mount_as(transport, credential, path + '/');
    auto with_slash = co_await asking_again;
    if (!with_slash && is_noent(with_slash.error())) co_return answer;
    co_return with_slash;
}

core::Task<core::Result<void>> unmount(
    rpc::Transport& transport, const mapper::Credential& credential, std::string path
) {
    auto asking = ask_with_path(transport, credential, MOUNT3_UMNT, std::move(path));
    const auto results = co_await asking;
    if (!results) co_return results.error();
    co_return core::Result<void>();
}

}  // namespace uidnfs::nfs::mount3
