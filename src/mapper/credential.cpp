// SPDX-License-Identifier: Apache-2.0
#include "mapper/credential.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

namespace uidnfs::mapper {
namespace {

constexpr std::uint32_t kAuthNone = 0;
constexpr std::uint32_t kAuthSys = 1;

void put(std::vector<std::byte>& out, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        out.push_back(static_cast<std::byte>(value >> shift & 0xff));
    }
}

core::Failure refuse(int code, std::string why) {
    return {code, fmt::format("cannot use this identity: {}", why)};
}

}  // namespace

core::Outcome<std::shared_ptr<const Credential>> Credential::make(
    Identity identity, std::string machine_name, RootIdentity root
) {
    const auto check_id = [&](std::string_view what,
                              std::uint32_t id) -> std::optional<core::Failure> {
        if (id == kNoId) {
            return refuse(EINVAL, fmt::format("{} {} is nobody's id; use a real one", what, id));
        }
        if (id == 0 && root == RootIdentity::refused) {
            return refuse(
                EPERM,
                fmt::format("{} 0 is root; use another {} or allow_root_identity", what, what)
            );
        }
        return std::nullopt;
    };
    if (auto failure = check_id("uid", identity.uid.value())) return *failure;
    if (auto failure = check_id("gid", identity.gid.value())) return *failure;
    for (const auto group : identity.groups) {
        if (auto failure = check_id("gid", group.value())) return *failure;
    }
    if (identity.groups.size() > kMaxGroups) {
        return refuse(
            EINVAL,
            fmt::format(
                "{} supplementary groups, but AUTH_SYS carries at most {} ({} would be left out); "
                "name the {} that matter",
                identity.groups.size(),
                kMaxGroups,
                identity.groups[kMaxGroups].value(),
                kMaxGroups
            )
        );
    }
    if (machine_name.empty() || machine_name.size() > kMaxMachineName) {
        return refuse(EINVAL, "the machine name must have 1 to 255 bytes; set the host name");
    }
    return std::shared_ptr<const Credential>(
        new Credential(std::move(identity), std::move(machine_name))
    );
}

Credential::Credential(Identity identity, std::string machine_name)
    : identity_(std::move(identity)), machine_name_(std::move(machine_name)) {
    // authsys_parms: stamp, machinename, uid, gid, gids<16>. The stamp is arbitrary.
    std::vector<std::byte> body;
    put(body, 0);
    put(body, static_cast<std::uint32_t>(machine_name_.size()));
    for (const char c : machine_name_) body.push_back(static_cast<std::byte>(c));
    while (body.size() % 4 != 0) body.push_back(std::byte{0});
    put(body, identity_.uid.value());
    put(body, identity_.gid.value());
    put(body, static_cast<std::uint32_t>(identity_.groups.size()));
    for (const auto group : identity_.groups) put(body, group.value());

    put(encoded_, kAuthSys);
    put(encoded_, static_cast<std::uint32_t>(body.size()));
    encoded_.insert(encoded_.end(), body.begin(), body.end());
    put(encoded_, kAuthNone);
    put(encoded_, 0);
}

std::string Credential::describe() const {
    auto out = fmt::format("{}:{}", uid().value(), gid().value());
    std::string_view separator = " groups ";
    for (const auto group : groups()) {
        out += fmt::format("{}{}", separator, group.value());
        separator = ",";
    }
    return out;
}

}  // namespace uidnfs::mapper
