// SPDX-License-Identifier: Apache-2.0
#include "fuse/caller_groups.hpp"

#include "core/log.hpp"

#include <array>
#include <charconv>
#include <utility>

namespace uidnfs::fuse {
namespace {

/// What follows `key` in its line; nullopt without such a line.
std::optional<std::string_view> line(std::string_view text, std::string_view key) noexcept {
    const auto start = text.find(key);
    if (start == text.npos) return std::nullopt;
    text.remove_prefix(start + key.size());
    return text.substr(0, text.find('\n'));
}

/// The next number of `text`, which loses it; nullopt at its end or at anything else.
std::optional<std::uint32_t> take_number(std::string_view& text) noexcept {
    while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
    std::uint32_t value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
    return value;
}

bool is_blank(std::string_view text) noexcept { return text.find_first_not_of(" \t") == text.npos; }

/// Real, effective, saved and file system id: the last one.
std::optional<std::uint32_t> file_system_id(std::string_view text) noexcept {
    std::optional<std::uint32_t> id;
    for (int i = 0; i < 4; ++i) {
        id = take_number(text);
        if (!id) return std::nullopt;
    }
    return id;
}

}  // namespace

std::optional<TaskIds> parse_ids(std::string_view text) {
    // The name of the thread comes first and cannot hold a newline (it is shown as "\n").
    const auto uids = line(text, "\nUid:\t");
    const auto gids = line(text, "\nGid:\t");
    auto groups = line(text, "\nGroups:\t");
    if (!uids || !gids || !groups) return std::nullopt;
    const auto uid = file_system_id(*uids);
    const auto gid = file_system_id(*gids);
    if (!uid || !gid) return std::nullopt;
    TaskIds ids{*uid, *gid, {}};
    while (const auto group = take_number(*groups)) ids.groups.push_back(*group);
    if (!is_blank(*groups)) return std::nullopt;
    return ids;
}

std::vector<std::uint32_t> CallerGroups::groups_of(
    std::uint32_t tid, std::uint32_t uid, std::uint32_t gid
) {
    auto ids = tid == 0 ? std::nullopt : parse_ids(proc_.read(tid, "status"));
    if (!ids) {
        proc_.note_hidden(tid);
        return {};
    }
    if (ids->uid != uid || ids->gid != gid) {
        note_borrowed(tid, uid, gid);
        return {};
    }
    return std::move(ids->groups);
}

void CallerGroups::note_borrowed(std::uint32_t tid, std::uint32_t uid, std::uint32_t gid) {
    if (std::exchange(told_, Told::yes) == Told::yes) return;
    core::log::warning(
        "process {} acts as {}:{}, which are not its own ids; such calls carry no supplementary "
        "groups",
        tid,
        uid,
        gid
    );
}

}  // namespace uidnfs::fuse
