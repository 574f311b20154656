// SPDX-License-Identifier: Apache-2.0
// What Checkup does with the root of the export: what the identity may there, and whose a file
// becomes that it makes.
#include "nfs/checkup.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace uidnfs::nfs {
namespace {

using Result = CheckStep::Result;

/// Nobody else has this name.
std::string name_of_test_file() {
    std::uint64_t value = 0;
    if (::getrandom(&value, sizeof value, 0) != sizeof value) {
        value =
            static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    }
    return fmt::format(".uidnfs-check-{:016x}", value);
}

}  // namespace

core::Task<bool> Checkup::ask_root(v3::Client3& client) {
    const CallContext context{credential_};
    auto asking = client.fsinfo(context, client.root());
    const auto info = co_await asking;
    if (!info) {
        fail("fsinfo", text_.unanswered(Service::nfs, nfs_, info.error()));
        co_return false;
    }
    client.set_fs_info(*info);
    tell(
        "fsinfo",
        Result::ok,
        fmt::format(
            "reads of {} KiB, writes of {} KiB, files up to {} bytes, times to {} ns",
            info->read_max / 1024,
            info->write_max / 1024,
            info->max_file_size,
            info->time_delta.seconds * 1'000'000'000 + info->time_delta.nanoseconds
        )
    );
    auto opening = client.open(context, client.root(), kAccessAll);
    const auto root = co_await opening;
    if (!root) {
        fail("access", text_.unanswered(Service::nfs, nfs_, root.error()));
        co_return false;
    }
    if (root->attr.type != FileType::directory) {
        fail("access", text_.root_not_directory());
        co_return false;
    }
    const bool is_readable = root->granted & (kAccessRead | kAccessLookup);
    if (!is_readable && parameters_.root_access == MountParameters::RootAccess::needed) {
        fail("access", text_.root_not_readable(*credential_, root->attr));
        co_return false;
    }
    const bool all = (root->granted & kAccessModify) && (root->granted & kAccessExtend);
    tell(
        "access",
        all ? Result::ok : Result::notice,
        fmt::format(
            "{} may {} in the root (mode {:04o}, owner {}:{})",
            credential_->describe(),
            describe_access(root->granted),
            root->attr.mode,
            root->attr.uid.value(),
            root->attr.gid.value()
        )
    );
    co_return true;
}

core::Task<bool> Checkup::make_file(v3::Client3& client) {
    const CallContext context{credential_};
    const auto name = name_of_test_file();
    SetAttr attributes;
    attributes.mode = 0600;
    const Verifier verifier{};
    auto creating =
        client.create(context, client.root(), name, CreateHow::guarded, attributes, verifier);
    auto made = co_await creating;
    if (!made) {
        tell(
            "write",
            Result::failed,
            fmt::format(
                "{} cannot create a file in the root ({}); grant write access on the server, or "
                "check a directory below it",
                credential_->describe(),
                core::to_string(made.error())
            )
        );
        co_return false;
    }
    auto attr = made->attr;
    if (!attr) {
        auto looking = client.lookup(context, client.root(), name);
        const auto looked = co_await looking;
        if (looked) attr = looked->attr;
    }
    bool works = true;
    if (attr) {
        report_(judge_owner(*credential_, *attr));
    } else {
        tell("write", Result::notice, "a file was made, and the server does not say whose it is");
    }
    auto removing = client.remove(context, client.root(), name);
    const auto removed = co_await removing;
    if (!removed) {
        tell(
            "write",
            Result::failed,
            fmt::format(
                "the file {} could not be removed again ({}); remove it on the server",
                name,
                core::to_string(removed.error())
            )
        );
        works = false;
    }
    co_return works;
}

core::Task<bool> Checkup::look(CheckWrite write) {
    v3::Client3::Deps deps;
    deps.transport = std::make_unique<rpc::Transport>(reactor_, options_for(nfs_));
    deps.root = export_.root;
    deps.sizes = {parameters_.rsize, parameters_.wsize};
    deps.notice = {target_.host, mount_service_, export_.path, parameters_.source_port};
    v3::Client3 client(std::move(deps));
    auto asking = ask_root(client);
    bool works = co_await asking;
    if (works && write == CheckWrite::yes) {
        auto making = make_file(client);
        works = co_await making;
    }
    const CallContext context{credential_};
    auto leaving = client.shutdown(context);
    co_await leaving;
    co_return works;
}

std::string describe_access(AccessBits granted) {
    constexpr std::array<std::pair<AccessBits, std::string_view>, 6> kWords{{
        {kAccessRead, "list"},
        {kAccessLookup, "look up"},
        {kAccessModify, "change"},
        {kAccessExtend, "create"},
        {kAccessDelete, "delete"},
        {kAccessExecute, "execute"},
    }};
    std::string out;
    for (const auto& [bit, word] : kWords) {
        if (granted & bit) out += fmt::format("{}{}", out.empty() ? "" : ", ", word);
    }
    return out.empty() ? "nothing" : out;
}

CheckStep judge_owner(const mapper::Credential& credential, const Attr& made) {
    CheckStep step{"write", Result::ok, {}};
    const bool is_own_uid = made.uid == credential.uid();
    const bool is_own_gid = made.gid == credential.gid();
    step.text = fmt::format(
        "a file made as {} belongs to {}:{}",
        credential.describe(),
        made.uid.value(),
        made.gid.value()
    );
    if (!is_own_uid) {
        step.result = Result::notice;
        step.text +=
            ": the server puts another user in its place (all_squash and anonuid= of the export)";
    } else if (!is_own_gid) {
        step.result = Result::notice;
        step.text += ": the group comes from the directory (setgid) or from anongid= of the export";
    }
    return step;
}

}  // namespace uidnfs::nfs
