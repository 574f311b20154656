// SPDX-License-Identifier: Apache-2.0
#include "control/mountinfo.hpp"

#include "core/text.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace uidnfs::control {
namespace {

std::string_view next_word(std::string_view& line) {
    const auto end = line.find(' ');
    const auto word = line.substr(0, end);
    line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
    return word;
}

template <class Number>
bool parse_number(std::string_view text, Number& number) {
    const auto* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    return error == std::errc() && stop == end && !text.empty();
}

/// Space, tab, line feed and backslash are written as \ooo.
std::string unmangle(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned code = 0;
        if (text[i] == '\\' && i + 3 < text.size()) {
            const auto* first = text.data() + i + 1;
            const auto [stop, error] = std::from_chars(first, first + 3, code, 8);
            if (error == std::errc() && stop == first + 3 && code < 256) {
                out += static_cast<char>(code);
                i += 3;
                continue;
            }
        }
        out += text[i];
    }
    return out;
}

std::optional<MountEntry> parse_line(std::string_view line) {
    MountEntry entry;
    if (!parse_number(next_word(line), entry.id)) return std::nullopt;
    if (!parse_number(next_word(line), entry.parent)) return std::nullopt;
    const auto device = next_word(line);
    const auto colon = device.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    if (!parse_number(device.substr(0, colon), entry.major)) return std::nullopt;
    if (!parse_number(device.substr(colon + 1), entry.minor)) return std::nullopt;
    entry.root = unmangle(next_word(line));
    entry.mountpoint = unmangle(next_word(line));
    entry.flags = next_word(line);
    for (auto field = next_word(line); !line.empty() && field != "-"; field = next_word(line)) {
        if (!entry.propagation.empty()) entry.propagation += ' ';
        entry.propagation += field;
    }
    entry.type = unmangle(next_word(line));
    entry.source = unmangle(next_word(line));
    constexpr std::string_view kOwner = "user_id=";
    if (const auto at = line.find(kOwner); at != std::string_view::npos) {
        const auto value = line.substr(at + kOwner.size());
        parse_number(value.substr(0, value.find_first_of(", ")), entry.owner);
    }
    if (entry.mountpoint.empty() || entry.type.empty()) return std::nullopt;
    return entry;
}

}  // namespace

std::vector<MountEntry> parse_mountinfo(std::string_view text) {
    std::vector<MountEntry> mounts;
    while (!text.empty()) {
        const auto end = text.find('\n');
        if (auto entry = parse_line(text.substr(0, end))) mounts.push_back(std::move(*entry));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return mounts;
}

core::Result<std::vector<MountEntry>> read_mountinfo() {
    const auto text = core::read_whole("/proc/self/mountinfo");
    if (!text) return text.error();
    return parse_mountinfo(*text);
}

bool is_ours(const MountEntry& entry) noexcept { return entry.type == kFilesystemType; }

const MountEntry* find_by_path(const std::vector<MountEntry>& mounts, std::string_view path) {
    const auto last = std::find_if(mounts.rbegin(), mounts.rend(), [path](const auto& entry) {
        return entry.mountpoint == path;
    });
    if (last == mounts.rend()) return nullptr;
    const auto* top = &*last;
    // One that was made before it and attached after it lies on it: its parent says so. No pile is
    // higher than the list is long.
    for (auto left = mounts.size(); left > 0; --left) {
        const auto on_it = std::find_if(mounts.begin(), mounts.end(), [top](const auto& entry) {
            return entry.parent == top->id && entry.mountpoint == top->mountpoint;
        });
        if (on_it == mounts.end()) break;
        top = &*on_it;
    }
    return top;
}

const MountEntry* find_below(const std::vector<MountEntry>& mounts, std::string_view path) {
    const MountEntry* found = nullptr;
    for (const auto& entry : mounts) {
        const auto& place = entry.mountpoint;
        const bool holds =
            path.starts_with(place) &&
            (place == "/" || path.size() == place.size() || path[place.size()] == '/');
        if (holds && (!found || place.size() > found->mountpoint.size())) found = &entry;
    }
    return found ? find_by_path(mounts, found->mountpoint) : nullptr;
}

const MountEntry* find_by_id(const std::vector<MountEntry>& mounts, std::uint64_t id) {
    for (const auto& entry : mounts) {
        if (entry.id == id) return &entry;
    }
    return nullptr;
}

std::vector<MountEntry> find_by_minor(const std::vector<MountEntry>& mounts, std::uint32_t minor) {
    std::vector<MountEntry> found;
    for (const auto& entry : mounts) {
        if (is_ours(entry) && entry.major == 0 && entry.minor == minor) found.push_back(entry);
    }
    return found;
}

core::Result<std::uint64_t> descriptor_fact(int fd, std::string_view label) {
    const auto text = core::read_whole("/proc/self/fdinfo/" + std::to_string(fd));
    if (!text) return text.error();
    auto at = text->find(label);
    if (at == std::string::npos) return core::Error(EPROTO);
    at = text->find_first_not_of(" \t", at + label.size());
    if (at == std::string::npos) return core::Error(EPROTO);
    const std::string_view rest = std::string_view(*text).substr(at);
    std::uint64_t number = 0;
    if (!parse_number(rest.substr(0, rest.find('\n')), number)) return core::Error(EPROTO);
    return number;
}

}  // namespace uidnfs::control
