// SPDX-License-Identifier: Apache-2.0
#include "app/convert.hpp"

#include "mapper/credential.hpp"
#include "mapper/gate.hpp"
#include "mapper/presenter.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace uidnfs::app {
namespace {

using config::Switch;

constexpr bool is_on(Switch value) noexcept { return value == Switch::on; }

nfs::Recovery recovery_of(config::Recovery recovery) noexcept {
    switch (recovery) {
        case config::Recovery::hard: return nfs::Recovery::hard;
        case config::Recovery::soft: return nfs::Recovery::soft;
        case config::Recovery::softerr: return nfs::Recovery::softerr;
    }
    return nfs::Recovery::hard;
}

fs::LookupCache lookup_cache_of(config::LookupCache cache) noexcept {
    switch (cache) {
        case config::LookupCache::all: return fs::LookupCache::all;
        case config::LookupCache::positive: return fs::LookupCache::positive;
        case config::LookupCache::none: return fs::LookupCache::none;
    }
    return fs::LookupCache::none;
}

fs::AttrTimers timers_of(const config::MountOptions& options) {
    using std::chrono::seconds;
    if (!is_on(options.attribute_cache)) return {seconds(0), seconds(0), seconds(0), seconds(0)};
    return {
        seconds(options.acregmin),
        seconds(options.acregmax),
        seconds(options.acdirmin),
        seconds(options.acdirmax),
    };
}

}  // namespace

nfs::Target target_of(const config::Source& source) { return {source.host, source.export_path}; }

nfs::MountParameters parameters_of(const config::MountOptions& options) {
    nfs::MountParameters parameters;
    parameters.port = options.port;
    parameters.mount_port = options.mount_port;
    parameters.mount_host = options.mount_host;
    for (std::string_view rest = options.addresses; !rest.empty();) {
        const auto end = std::min(rest.find('+'), rest.size());
        parameters.addresses.emplace_back(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    parameters.source_port =
        is_on(options.reserved_port) ? nfs::SourcePort::reserved : nfs::SourcePort::any;
    parameters.recovery = recovery_of(options.recovery);
    parameters.timeo = options.timeo;
    parameters.retrans = options.retrans;
    parameters.rsize = options.rsize;
    parameters.wsize = options.wsize;
    parameters.nconnect = options.nconnect;
    if (options.identity == config::IdentityMode::caller) {
        parameters.root_access = nfs::MountParameters::RootAccess::unneeded;
    }
    return parameters;
}

core::Outcome<fs::Options> filesystem_options_of(
    const config::MountOptions& options, std::string machine_name
) {
    mapper::Credential::Identity identity;
    identity.uid = mapper::ServerUid(options.uid.value_or(mapper::kNobody));
    identity.gid = mapper::ServerGid(options.gid.value_or(mapper::kNobody));
    for (const auto gid : options.gids) identity.groups.emplace_back(gid);
    const auto root = is_on(options.allow_root_identity) ? mapper::RootIdentity::allowed
                                                         : mapper::RootIdentity::refused;
    const mapper::Presenter::Identity presented{
        mapper::ClientUid(options.app_uid),
        mapper::ClientGid(options.app_gid),
        identity.uid,
        identity.gid,
    };
    auto credential = mapper::Credential::make(std::move(identity), std::move(machine_name), root);
    if (!credential) return credential.error();

    // With the caller's own ids the kernel and the server decide, as on any file system.
    const bool fixed = options.identity == config::IdentityMode::fixed;
    const auto presentation = fixed ? options.present : mapper::Presentation::verbatim;
    const auto access = fixed ? options.access : mapper::Access::any;
    fs::Options result{
        .credential = *credential,
        .identity = fixed ? fs::IdentityMode::fixed : fs::IdentityMode::caller,
        .root_identity = root,
        .presenter = mapper::Presenter(presentation, presented),
        .gate = mapper::Gate(access, presented.app_uid),
    };
    result.timers = timers_of(options);
    result.close_to_open =
        is_on(options.close_to_open) ? fs::CloseToOpen::on : fs::CloseToOpen::off;
    result.lookup_cache = lookup_cache_of(options.lookup_cache);
    result.readdirplus = is_on(options.readdirplus) ? fs::Readdirplus::on : fs::Readdirplus::off;
    // nfs(5): noac is actimeo=0 and sync, so that others see a write as soon as it returned.
    const bool synchronous = is_on(options.sync) || !is_on(options.attribute_cache);
    result.write_mode = synchronous ? fs::WriteMode::sync : fs::WriteMode::async;
    result.commit_on =
        options.commit == config::Commit::close ? fs::CommitOn::close : fs::CommitOn::behind;
    result.writable = is_on(options.read_only) ? fs::Writable::no : fs::Writable::yes;
    // With identity=caller root's calls are root's own, or refused.
    result.copy_up = fixed && is_on(options.copy_up) ? fs::CopyUp::swallowed : fs::CopyUp::sent;
    result.write_behind = options.write_behind;
    return result;
}

std::string machine_name() {
    std::array<char, mapper::Credential::kMaxMachineName + 1> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
    return name.data();
}

std::chrono::milliseconds mount_deadline(const config::MountOptions& options) {
    using std::chrono::milliseconds;
    constexpr milliseconds kOwnWork{10'000};
    const std::uint64_t tenths = std::uint64_t{options.timeo} * (options.retrans + 1ull);
    return milliseconds(tenths * 100) + kOwnWork;
}

}  // namespace uidnfs::app
